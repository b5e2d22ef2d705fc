// RoIAlign: the CUDA twin of roi_align.py. As there, the weight of a feature in the mean of a cell is a
// product of one along x and one along y: found first, once a box; then every channel is weighed with them.

#include <cuda_fp16.h>

__device__ float number(float value) { return value; }
__device__ float number(__half value) { return __half2float(value); }
__device__ void store(float *out, float value) { *out = value; }
__device__ void store(__half *out, float value) { *out = __float2half(value); }

// Where a sample lies along an axis, cut to the features; false: too far outside to count.
__device__ bool sample_at(float cell, float step, int sample, int count, int size, float *at) {
    float place = cell + ((float)sample + 0.5f) * step / (float)count;
    *at = fminf(fmaxf(place, 0.0f), (float)(size - 1));
    return place >= -1.0f && place <= (float)size;
}

// One thread a box, an axis (x, y) and a cell. boxes [count, 4]; spans [count, 2, cells, 2]: the first
// feature that the cell touches, and how many; weights [count, 2, cells, most]: theirs. As in roi_align.py.
extern "C" __global__ void roi_weights(const float *boxes, int count, float scale, float shift, int ratio,
                                       int aligned, int width, int height, int cells, int most, int *spans,
                                       float *weights) {
    int task = blockIdx.x * blockDim.x + threadIdx.x;
    if (task >= count * 2 * cells) return;
    int axis = task / cells % 2, size = axis ? height : width;
    const float *box = boxes + task / (2 * cells) * 4 + axis;
    float start = box[0] * scale - shift, length = box[2] * scale - shift - start;
    if (!aligned) length = fmaxf(length, 1.0f);
    float step = length / (float)cells, cell = start + (float)(task % cells) * step;
    int samples = ratio;
    if (!ratio) samples = step > 0 ? (int)fminf(ceilf(step), 1e9f) : 0;  // an inverted box has none
    // Of a box far larger than the features most samples lie outside: they are not even looked at.
    float each = step / (float)samples, begin = 0, end = (float)samples;
    if (each > 0) {
        begin = fminf(fmaxf(floorf((-1.0f - cell) / each) - 2.0f, 0.0f), end);
        end = fminf(fmaxf(ceilf(((float)size - cell) / each) + 2.0f, 0.0f), end);
    }
    int low = size, high = -1;
    float at;
    for (int sample = (int)begin; sample < (int)end; sample++) {
        if (!sample_at(cell, step, sample, samples, size, &at)) continue;
        low = min(low, (int)at);
        high = max(high, min((int)at + 1, size - 1));
    }
    int touched = max(high - low + 1, 0);
    spans[2 * task] = low;
    spans[2 * task + 1] = touched;
    float *mine = weights + (size_t)task * most;
    for (int n = 0; n < touched; n++) mine[n] = 0;
    for (int sample = (int)begin; sample < (int)end; sample++) {
        if (!sample_at(cell, step, sample, samples, size, &at)) continue;
        int left = (int)at;
        mine[left - low] += 1.0f - (at - (float)left);
        if (left < size - 1) mine[left + 1 - low] += 1.0f - ((float)(left + 1) - at);
    }
    for (int n = 0; n < touched; n++) mine[n] /= (float)samples;
}

// One thread a cell of a channel, blocks along y for the boxes. features [channels, height, width];
// out [count, channels, cells, cells].
template <typename In, typename Out>
__device__ void roi_means(const In *features, int channels, int height, int width, const int *spans,
                          const float *weights, int count, int cells, int most, Out *out) {
    int inside = cells * cells, all = channels * inside;
    for (int box = blockIdx.y; box < count; box += gridDim.y)
        for (int n = blockIdx.x * blockDim.x + threadIdx.x; n < all; n += gridDim.x * blockDim.x) {
            int across = box * 2 * cells + n % cells, down = (box * 2 + 1) * cells + n % inside / cells;
            int left = spans[2 * across], wide = spans[2 * across + 1];
            int top = spans[2 * down], high = spans[2 * down + 1];
            const float *wx = weights + (size_t)across * most, *wy = weights + (size_t)down * most;
            const In *under = features + ((size_t)(n / inside) * height + top) * width + left;
            float total = 0;
            for (int y = 0; y < high; y++, under += width) {
                float row = 0;
                for (int x = 0; x < wide; x++) row += wx[x] * number(under[x]);
                total += wy[y] * row;
            }
            store(out + (size_t)box * all + n, total);
        }
}

extern "C" __global__ void roi_means_f32_f32(const float *features, int channels, int height,
                                             int width, const int *spans, const float *weights, int count,
                                             int cells, int most, float *out) {
    roi_means(features, channels, height, width, spans, weights, count, cells, most, out);
}

extern "C" __global__ void roi_means_f32_f16(const float *features, int channels, int height,
                                             int width, const int *spans, const float *weights, int count,
                                             int cells, int most, __half *out) {
    roi_means(features, channels, height, width, spans, weights, count, cells, most, out);
}

extern "C" __global__ void roi_means_f16_f32(const __half *features, int channels, int height,
                                             int width, const int *spans, const float *weights, int count,
                                             int cells, int most, float *out) {
    roi_means(features, channels, height, width, spans, weights, count, cells, most, out);
}

extern "C" __global__ void roi_means_f16_f16(const __half *features, int channels, int height,
                                             int width, const int *spans, const float *weights, int count,
                                             int cells, int most, __half *out) {
    roi_means(features, channels, height, width, spans, weights, count, cells, most, out);
}
