// Mixing images by a mask, and ring masks. Reference: streamfx/ops/{warp,mix}.py.
// Planes of `count` pixels; four pixels per thread, with vector access if count and addresses are aligned.
#include "pixel.cuh"

// Loads four values at `at`; only the first `available` exist
template <typename T>
__device__ __forceinline__ void load_four(const T* at, bool together, int available, float* value) {
    if (together) {
        const Several<T, 4> four = *reinterpret_cast<const Several<T, 4>*>(at);
#pragma unroll
        for (int k = 0; k < 4; ++k) value[k] = load(&four.value[k]);
    } else {
        for (int k = 0; k < 4; ++k) value[k] = k < available ? load(at + k) : 0.0f;
    }
}

template <typename T>
__device__ __forceinline__ void store_four(T* at, bool together, int available, const float* value) {
    if (together) {
        Several<T, 4> four;
#pragma unroll
        for (int k = 0; k < 4; ++k) store(&four.value[k], value[k]);
        *reinterpret_cast<Several<T, 4>*>(at) = four;
    } else {
        for (int k = 0; k < 4 && k < available; ++k) store(at + k, value[k]);
    }
}

// `foreground` over `background`, both [batch][channels][count], with opacity share [batch][1][count]
extern "C" __global__ void blend(const Pixel* __restrict__ background, const Pixel* __restrict__ foreground,
                                 const float* __restrict__ share, Pixel* __restrict__ out, int channels, int count) {
    const int first = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (first >= count) return;

    share += (long long)blockIdx.z * count + first;
    const long long start = (long long)blockIdx.z * channels * count + first;

    const bool together = count % 4 == 0 && aligned<Pixel, 4>(background + start) &&
                          aligned<Pixel, 4>(foreground + start) && aligned<Pixel, 4>(out + start) &&
                          aligned<float, 4>(share);
    float part[4];
    load_four(share, together, count - first, part);
    for (int c = 0; c < channels; ++c) {
        const long long at = start + (long long)c * count;
        float below[4], above[4];
        load_four(background + at, together, count - first, below);
        load_four(foreground + at, together, count - first, above);
#pragma unroll
        for (int k = 0; k < 4; ++k) below[k] = mixed(below[k], above[k], part[k]);
        store_four(out + at, together, count - first, below);
    }
}

// Coverage of a disk at a distance from its center; its edge is a step blurred by a Gaussian of sigma `soft`, or one
// pixel wide if `soft` is 0
__device__ __forceinline__ float disk(float distance, float radius, float soft) {
    if (radius <= 0.0f) return 0.0f;
    if (soft <= 0.0f) return clamped(radius - distance + 0.5f, 0.0f, 1.0f);
    return 0.5f * erfcf((distance - radius) / (soft * 1.41421356f));
}

// A mask [height][width]: 1 between two circles around (x0, y0), 0 elsewhere
extern "C" __global__ void ring(float* __restrict__ out, int height, int width, float x0, float y0, float inner,
                                float outer, float soft) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;

    const float across = (float)x - x0, down = (float)y - y0, distance = sqrtf(across * across + down * down);
    out[(long long)y * width + x] = fmaxf(0.0f, disk(distance, outer, soft) - disk(distance, inner, soft));
}
