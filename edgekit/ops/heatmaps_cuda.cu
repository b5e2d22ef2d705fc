// The highest cell of each heat map and a quarter towards its higher neighbour: the CUDA twin of heatmaps.py,
// equal to it to the last bit, NaN and infinity included.

#include <cuda_fp16.h>

#define THREADS 128

__device__ __forceinline__ float value_of(float value) { return value; }
__device__ __forceinline__ float value_of(__half value) { return __half2float(value); }

// Whether cell `at` of value `a` comes before cell `other` of value `b`, as NumPy's argmax has it: the higher
// one, not a number above all, of equal ones the first.
__device__ __forceinline__ bool before(float a, int at, float b, int other) {
    bool nan = a != a, none = b != b;
    if (nan != none) return nan;
    if (!nan && a != b) return a > b;
    return at < other;
}

__device__ __forceinline__ float quarter(float more, float less) {
    float step = more - less;  // 0 stays 0, and not a number stays that
    return step > 0 ? 0.25f : step < 0 ? -0.25f : step;
}

// One block of THREADS a map. out [maps, 3]: x, y, value.
template <class T>
__device__ __forceinline__ void points(const T *maps, int height, int width, float *out) {
    __shared__ float values[THREADS / 32];
    __shared__ int places[THREADS / 32];
    int cells = height * width;
    const T *map = maps + (long long)blockIdx.x * cells;
    float best = -INFINITY;
    int at = cells;
#pragma unroll 4
    for (int i = threadIdx.x; i < cells; i += THREADS) {
        float value = value_of(map[i]);
        if (before(value, i, best, at)) best = value, at = i;
    }
    for (int apart = 16; apart; apart /= 2) {
        float value = __shfl_down_sync(0xffffffffu, best, apart);
        int place = __shfl_down_sync(0xffffffffu, at, apart);
        if (before(value, place, best, at)) best = value, at = place;
    }
    if (threadIdx.x % 32 == 0) values[threadIdx.x / 32] = best, places[threadIdx.x / 32] = at;
    __syncthreads();
    if (threadIdx.x) return;
    for (int i = 1; i < THREADS / 32; i++)
        if (before(values[i], places[i], best, at)) best = values[i], at = places[i];
    if (!(best > 0)) at = 0;
    int x = at % width, y = at / width;
    float *point = out + 3LL * blockIdx.x;
    point[0] = (float)x, point[1] = (float)y, point[2] = best;
    if (x > 1 && x < width - 1 && y > 1 && y < height - 1) {
        point[0] += quarter(value_of(map[at + 1]), value_of(map[at - 1]));
        point[1] += quarter(value_of(map[at + width]), value_of(map[at - width]));
    }
}

extern "C" __global__ void points_f32(const float *maps, int height, int width, float *out) {
    points<float>(maps, height, width, out);
}
extern "C" __global__ void points_f16(const __half *maps, int height, int width, float *out) {
    points<__half>(maps, height, width, out);
}
