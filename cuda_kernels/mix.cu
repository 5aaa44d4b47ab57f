// Mixing images: by a mask, with a color, ring masks, color transfer. Reference: streamfx/ops/{warp,mix}.py.
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

// RGB [3][count] blended with one color of opacity `share`
extern "C" __global__ void fade(const Pixel* __restrict__ image, Pixel* __restrict__ out, int count, float red,
                                float green, float blue, float share) {
    const int first = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (first >= count) return;

    const long long at = (long long)blockIdx.z * count + first;
    const bool together = count % 4 == 0 && aligned<Pixel, 4>(image + at) && aligned<Pixel, 4>(out + at);

    const float color = blockIdx.z == 0 ? red : blockIdx.z == 1 ? green : blue;
    float value[4];
    load_four(image + at, together, count - first, value);
#pragma unroll
    for (int k = 0; k < 4; ++k) value[k] = mixed(value[k], color, share);
    store_four(out + at, together, count - first, value);
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

enum { THREADS = 256 };

// Sums of x - 1/2 and of its squares, per block: [channels][count] -> [channels][gridDim.x][2]
extern "C" __global__ void __launch_bounds__(THREADS)
    moments(const Pixel* __restrict__ image, float* __restrict__ out, int count) {
    __shared__ float sums[2][THREADS];
    const Pixel* plane = image + (long long)blockIdx.y * count;
    const bool together = count % 4 == 0 && aligned<Pixel, 4>(plane);
    const int self = threadIdx.x;

    float sum = 0.0f, squares = 0.0f;
    for (int first = 4 * (blockIdx.x * THREADS + self); first < count; first += 4 * THREADS * gridDim.x) {
        float value[4];
        load_four(plane + first, together, count - first, value);
        for (int k = 0; k < 4 && first + k < count; ++k) {
            const float centered = value[k] - 0.5f;
            sum += centered;
            squares += centered * centered;
        }
    }
    sums[0][self] = sum;
    sums[1][self] = squares;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (self < half) {
            sums[0][self] += sums[0][self + half];
            sums[1][self] += sums[1][self + half];
        }
        __syncthreads();
    }
    if (self < 2) out[2 * (blockIdx.y * gridDim.x + blockIdx.x) + self] = sums[self][0];
}

// image * gain + shift per channel, clamped to 0..1; [channels][count], gain and shift [channels]
extern "C" __global__ void recolor(const Pixel* __restrict__ image, const float* __restrict__ gain,
                                   const float* __restrict__ shift, Pixel* __restrict__ out, int count) {
    const int first = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (first >= count) return;

    const long long at = (long long)blockIdx.z * count + first;
    const bool together = count % 4 == 0 && aligned<Pixel, 4>(image + at) && aligned<Pixel, 4>(out + at);

    const float by = gain[blockIdx.z], plus = shift[blockIdx.z];
    float value[4];
    load_four(image + at, together, count - first, value);
#pragma unroll
    for (int k = 0; k < 4; ++k) value[k] = clamped(value[k] * by + plus, 0.0f, 1.0f);
    store_four(out + at, together, count - first, value);
}
