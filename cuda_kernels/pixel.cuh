// Shared by all families: float32 and float16 pixels, and interpolation.
// Inlined by streamfx/ops/cuda.py, so no include path is needed. Images are planar: [C][height][width].

#ifdef HALF
typedef unsigned short Pixel;  // the bits of an IEEE half
#else
typedef float Pixel;
#endif

enum Border { REPLICATE, REFLECT, WRAP, ZEROS };

#ifdef __CUDACC__
__device__ __forceinline__ float half_to_float(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

__device__ __forceinline__ unsigned short float_to_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

// The sum over the 32 threads of a warp
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}
#endif

__device__ __forceinline__ float load(const float* at) { return *at; }
__device__ __forceinline__ float load(const unsigned short* at) { return half_to_float(*at); }
__device__ __forceinline__ void store(float* at, float value) { *at = value; }
__device__ __forceinline__ void store(unsigned short* at, float value) { *at = float_to_half(value); }

// N consecutive values for vector access: one memory access if the address is a multiple of their size
template <typename T, int N>
struct alignas(N * sizeof(T)) Several {
    T value[N];
};

template <typename T, int N>
__device__ __forceinline__ bool aligned(const T* at) {
    return reinterpret_cast<unsigned long long>(at) % (N * sizeof(T)) == 0;
}

__device__ __forceinline__ int clamped(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

__device__ __forceinline__ float clamped(float value, float low, float high) {
    return fminf(fmaxf(value, low), high);  // NaN becomes `low`
}

// Linear interpolation, exact at both ends
__device__ __forceinline__ float mixed(float background, float foreground, float share) {
    const float difference = foreground - background;
    return share < 0.5f ? background + share * difference : foreground - difference * (1.0f - share);
}

// The coordinate inside the image, or slightly outside, that is equivalent to `at`
__device__ __forceinline__ float normalized(float at, int size, int border) {
    if (border == REFLECT || border == WRAP) {
        const float last = (float)(size - 1), period = border == WRAP ? (float)size : fmaxf(1.0f, 2.0f * last);
        at = fmaf(-period, floorf(at / period), at);  // exact, but may be off by one period
        if (border == REFLECT) at = at > last ? 2.0f * last - at : at;
    }
    return clamped(at, -4.0f, (float)size + 3.0f);
}

// The pixel of a row of `size` that the border mode assigns to `index`, at most a few pixels outside; -1 for none
__device__ __forceinline__ int bordered(int index, int size, int border) {
    const int last = size - 1;
    if (border == ZEROS) return index < size ? max(index, -1) : -1;
    if (border == REFLECT) {
        index = abs(index);
        index = index > last ? abs(2 * last - index) : index;
    } else if (border == WRAP) {
        index = index < 0 ? index + size : index;
        index = index > last ? index - size : index;
        index = index > last ? index - size : index;
    }
    return clamped(index, 0, last);
}

// Weights of the N pixels around a point at the fractional position `part`: 2 linear, 4 cubic (Keys 1981, a = -0.75)
template <int N>
__device__ __forceinline__ void find_shares(float part, float* share) {
    if (N == 2) {
        share[0] = 1.0f - part;
        share[1] = part;
    } else {
        const float a = -0.75f, rest = 1.0f - part, far0 = part + 1.0f, far1 = rest + 1.0f;
        share[0] = ((a * far0 - 5.0f * a) * far0 + 8.0f * a) * far0 - 4.0f * a;
        share[1] = ((a + 2.0f) * part - (a + 3.0f)) * part * part + 1.0f;
        share[N - 2] = ((a + 2.0f) * rest - (a + 3.0f)) * rest * rest + 1.0f;
        share[N - 1] = ((a * far1 - 5.0f * a) * far1 + 8.0f * a) * far1 - 4.0f * a;
    }
}

// The N pixels of a row of `size` around `at`, and their weights
template <int N>
__device__ __forceinline__ void find_taps(float at, int size, int border, int* index, float* share) {
    at = normalized(at, size, border);
    const float whole = floorf(at);
    find_shares<N>(at - whole, share);
#pragma unroll
    for (int tap = 0; tap < N; ++tap) {
        index[tap] = bordered((int)whole + tap - (N / 2 - 1), size, border);
        if (index[tap] < 0) index[tap] = 0, share[tap] = 0.0f;
    }
}

// The interpolated value of the N x N pixels from `find_taps`
template <int N, typename T>
__device__ __forceinline__ float sampled(const T* plane, int width, const int* column, const float* across,
                                         const int* row, const float* down) {
    float sum = 0.0f;
#pragma unroll
    for (int y = 0; y < N; ++y) {
        const int start = row[y] * width;  // 32 bits, to save registers
        float value = 0.0f;
#pragma unroll
        for (int x = 0; x < N; ++x) value += across[x] * load(plane + (unsigned int)(start + column[x]));
        sum += down[y] * value;
    }
    return sum;
}
