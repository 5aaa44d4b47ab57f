// NV12 and P010 <-> planar RGB 0..1. Reference: nv12_to_rgb and rgb_to_nv12 in streamfx/ops/color.py.
// Chroma is sited left: between its two luma rows, at the left of its two columns. One thread per chroma sample and its
// 2 x 2 luma samples; two samples or pixels are accessed at a time if pitch, width and address are aligned.
// Pitches are in samples. The code value of a sample is in its upper bits: sample >> shift (6 for P010).
#include "pixel.cuh"

// Coding as in ITU-T H.273: luma weights of red and blue; code values: black, luma range, neutral chroma, chroma range
struct Coding {
    float kr, kb, black, y_span, neutral, c_span;
};

template <typename T>
__device__ __forceinline__ void load_two(const T* at, bool both, int shift, float* value) {
    if (both) {
        const Several<T, 2> pair = *reinterpret_cast<const Several<T, 2>*>(at);
        value[0] = (float)(pair.value[0] >> shift);
        value[1] = (float)(pair.value[1] >> shift);
    } else {
        value[0] = (float)(at[0] >> shift);
        value[1] = (float)(at[1] >> shift);
    }
}

__device__ __forceinline__ void to_pixel(float luma, float cb, float cr, const Coding& coding, float* rgb) {
    const float kg = 1.0f - coding.kr - coding.kb;
    const float y = (luma - coding.black) / coding.y_span;
    const float red = y + 2.0f * (1.0f - coding.kr) * ((cr - coding.neutral) / coding.c_span);
    const float blue = y + 2.0f * (1.0f - coding.kb) * ((cb - coding.neutral) / coding.c_span);
    rgb[0] = clamped(red, 0.0f, 1.0f);
    rgb[1] = clamped((y - coding.kr * red - coding.kb * blue) / kg, 0.0f, 1.0f);
    rgb[2] = clamped(blue, 0.0f, 1.0f);
}

template <typename Sample>
__device__ __forceinline__ void to_rgb(const Sample* luma, const Sample* chroma, Pixel* image, int height, int width,
                                       int luma_pitch, int chroma_pitch, int shift, const Coding& coding) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
    const int columns = (width + 1) / 2, rows = (height + 1) / 2;
    if (i >= columns || j >= rows) return;
    const long long plane = (long long)height * width;
    const bool whole = 2 * i + 1 < width;
    const bool chroma_pairs = aligned<Sample, 2>(chroma) && chroma_pitch % 2 == 0;
    const bool luma_pairs = aligned<Sample, 2>(luma) && luma_pitch % 2 == 0;
    const bool pixel_pairs = aligned<Pixel, 2>(image) && width % 2 == 0;

    const int right = min(i + 1, columns - 1);
    float near[3][2], next[3][2];  // cb and cr of three rows, at this column and the next
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        const Sample* line = chroma + (long long)clamped(j + k - 1, 0, rows - 1) * chroma_pitch;
        load_two(line + 2 * i, chroma_pairs, shift, near[k]);
        load_two(line + 2 * right, chroma_pairs, shift, next[k]);
    }

#pragma unroll
    for (int k = 0; k < 2; ++k) {
        const int y = 2 * j + k;
        if (y >= height) return;
        const Sample* line = luma + (long long)y * luma_pitch + 2 * i;
        Pixel* out = image + (long long)y * width + 2 * i;
        float light[2], color[2][2], rgb[2][3];
        if (whole) {
            load_two(line, luma_pairs, shift, light);
        } else {
            light[0] = light[1] = (float)(line[0] >> shift);
        }
#pragma unroll
        for (int c = 0; c < 2; ++c) {
            const float here = 0.75f * near[1][c] + 0.25f * near[2 * k][c];
            color[0][c] = here;
            color[1][c] = 0.5f * (here + 0.75f * next[1][c] + 0.25f * next[2 * k][c]);
        }
        to_pixel(light[0], color[0][0], color[0][1], coding, rgb[0]);
        to_pixel(light[1], color[1][0], color[1][1], coding, rgb[1]);
#pragma unroll
        for (int c = 0; c < 3; ++c) {
            if (pixel_pairs) {
                Several<Pixel, 2> pair;
                store(&pair.value[0], rgb[0][c]);
                store(&pair.value[1], rgb[1][c]);
                *reinterpret_cast<Several<Pixel, 2>*>(out + c * plane) = pair;
            } else {
                store(out + c * plane, rgb[0][c]);
                if (whole) store(out + c * plane + 1, rgb[1][c]);
            }
        }
    }
}

__device__ __forceinline__ float to_luma(const float* rgb, const Coding& coding) {
    return coding.kr * rgb[0] + (1.0f - coding.kr - coding.kb) * rgb[1] + coding.kb * rgb[2];
}

template <typename Sample>
__device__ __forceinline__ Sample to_sample(float code, float peak, int shift) {
    return (Sample)((unsigned int)clamped(rintf(code), 0.0f, peak) << shift);
}

template <typename Sample>
__device__ __forceinline__ void store_two(Sample* at, bool both, Sample first, Sample second) {
    if (both) {
        *reinterpret_cast<Several<Sample, 2>*>(at) = {{first, second}};
    } else {
        at[0] = first;
        at[1] = second;
    }
}

template <typename Sample>
__device__ __forceinline__ void from_rgb(const Pixel* image, Sample* luma, Sample* chroma, int height, int width,
                                         int luma_pitch, int chroma_pitch, int shift, const Coding& coding) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
    if (i >= (width + 1) / 2 || j >= (height + 1) / 2) return;
    const long long plane = (long long)height * width;
    const float peak = (float)((1 << (8 * (int)sizeof(Sample) - shift)) - 1);
    const int x = 2 * i, left = max(x - 1, 0), right = min(x + 1, width - 1);
    const bool whole = x + 1 < width;
    const bool luma_pairs = aligned<Sample, 2>(luma) && luma_pitch % 2 == 0;
    const bool chroma_pairs = aligned<Sample, 2>(chroma) && chroma_pitch % 2 == 0;
    const bool pixel_pairs = aligned<Pixel, 2>(image) && width % 2 == 0;

    float mean[3] = {0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        const int y = min(2 * j + k, height - 1);
        float here[3], next[3];
#pragma unroll
        for (int c = 0; c < 3; ++c) {
            const Pixel* line = image + c * plane + (long long)y * width;
            if (pixel_pairs) {
                const Several<Pixel, 2> pair = *reinterpret_cast<const Several<Pixel, 2>*>(line + x);
                here[c] = load(&pair.value[0]);
                next[c] = load(&pair.value[1]);
            } else {
                here[c] = load(line + x);
                next[c] = load(line + right);
            }
            mean[c] += 0.125f * load(line + left) + 0.25f * here[c] + 0.125f * next[c];
        }
        if (2 * j + k >= height) continue;
        const Sample first = to_sample<Sample>(to_luma(here, coding) * coding.y_span + coding.black, peak, shift);
        const Sample second = to_sample<Sample>(to_luma(next, coding) * coding.y_span + coding.black, peak, shift);
        Sample* out = luma + (long long)y * luma_pitch + x;
        if (whole) {
            store_two(out, luma_pairs, first, second);
        } else {
            out[0] = first;
        }
    }
    const float light = to_luma(mean, coding);
    const float cb = (mean[2] - light) * (0.5f * coding.c_span / (1.0f - coding.kb)) + coding.neutral;
    const float cr = (mean[0] - light) * (0.5f * coding.c_span / (1.0f - coding.kr)) + coding.neutral;
    store_two(chroma + (long long)j * chroma_pitch + x, chroma_pairs, to_sample<Sample>(cb, peak, shift),
              to_sample<Sample>(cr, peak, shift));
}

extern "C" __global__ void nv12_to_rgb(const unsigned char* __restrict__ luma, const unsigned char* __restrict__ chroma,
                                       Pixel* __restrict__ image, int height, int width, int luma_pitch,
                                       int chroma_pitch, int shift, float kr, float kb, float black, float y_span,
                                       float neutral, float c_span) {
    to_rgb(luma, chroma, image, height, width, luma_pitch, chroma_pitch, shift,
           {kr, kb, black, y_span, neutral, c_span});
}

extern "C" __global__ void p010_to_rgb(const unsigned short* __restrict__ luma,
                                       const unsigned short* __restrict__ chroma, Pixel* __restrict__ image,
                                       int height, int width, int luma_pitch, int chroma_pitch, int shift, float kr,
                                       float kb, float black, float y_span, float neutral, float c_span) {
    to_rgb(luma, chroma, image, height, width, luma_pitch, chroma_pitch, shift,
           {kr, kb, black, y_span, neutral, c_span});
}

extern "C" __global__ void rgb_to_nv12(const Pixel* __restrict__ image, unsigned char* __restrict__ luma,
                                       unsigned char* __restrict__ chroma, int height, int width, int luma_pitch,
                                       int chroma_pitch, int shift, float kr, float kb, float black, float y_span,
                                       float neutral, float c_span) {
    from_rgb(image, luma, chroma, height, width, luma_pitch, chroma_pitch, shift,
             {kr, kb, black, y_span, neutral, c_span});
}

extern "C" __global__ void rgb_to_p010(const Pixel* __restrict__ image, unsigned short* __restrict__ luma,
                                       unsigned short* __restrict__ chroma, int height, int width, int luma_pitch,
                                       int chroma_pitch, int shift, float kr, float kb, float black, float y_span,
                                       float neutral, float c_span) {
    from_rgb(image, luma, chroma, height, width, luma_pitch, chroma_pitch, shift,
             {kr, kb, black, y_span, neutral, c_span});
}
