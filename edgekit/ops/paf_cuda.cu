// TrtPose's peaks, their refinement and the scores of limbs: the CUDA twin of peaks.py and paf.py, equal to
// them to the last bit. Hence the order of every sum, and --fmad=false when it is compiled.

#include <cuda_fp16.h>

#define THREADS 1024  // of a block of find_peaks at most, a multiple of 32
#define EPSILON 1e-5  // EPSILON of paf.py, a double there too

__device__ __forceinline__ float value_of(float value) { return value; }
__device__ __forceinline__ float value_of(__half value) { return __half2float(value); }

__device__ __forceinline__ int mirrored(int index, int size) {
    index = abs(index);
    return index < size ? index : 2 * (size - 1) - index;
}

// One block a part's map, a thread a cell, as many cells at a time as the block has threads, in their order. For each part at
// most `most` peaks, row by row: places [parts, most, 2] (y, x), refined [parts, most, 2] (y, x as fractions),
// values [parts, most]; totals [parts].
template <class T>
__device__ __forceinline__ void peaks(const T *cmap, int height, int width, float threshold, int reach, int most,
                                      int *totals, int *places, float *refined, float *values) {
    __shared__ int counts[2][THREADS / 32];  // two, taking turns: a fast warp is at most one step ahead
    int part = blockIdx.x, cells = height * width, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const T *map = cmap + (long long)part * cells;
    int found = 0;
    for (int first = 0, turn = 0; first < cells && found < most; first += blockDim.x, turn ^= 1) {
        int cell = first + threadIdx.x, y = cell / width, x = cell % width;
        float value = cell < cells ? value_of(map[cell]) : 0.0f;
        bool highest = cell < cells && value >= threshold;
        if (highest) {
            int bottom = min(y + reach, height - 1), right = min(x + reach, width - 1);
            for (int v = max(y - reach, 0); v <= bottom && highest; v++)
                for (int u = max(x - reach, 0); u <= right; u++)
                    highest = highest && !(value_of(map[v * width + u]) > value);
        }
        unsigned mask = __ballot_sync(0xffffffffu, highest);
        if (lane == 0) counts[turn][warp] = __popc(mask);
        int more = __syncthreads_count(highest);
        int at = found + __popc(mask & ((1u << lane) - 1));
        found += more;
        if (!highest) continue;
        for (int w = 0; w < warp; w++) at += counts[turn][w];
        if (at >= most) continue;
        float sum_y = 0, sum_x = 0, sum = 0;
        for (int v = y - reach; v <= y + reach; v++)
            for (int u = x - reach; u <= x + reach; u++) {
                float weight = value_of(map[mirrored(v, height) * width + mirrored(u, width)]);
                sum += weight;
                sum_y += weight * v;
                sum_x += weight * u;
            }
        int out = part * most + at;
        places[2 * out] = y;
        places[2 * out + 1] = x;
        refined[2 * out] = (sum_y / sum + 0.5f) / height;
        refined[2 * out + 1] = (sum_x / sum + 0.5f) / width;
        values[out] = value;
    }
    if (threadIdx.x == 0) totals[part] = min(found, most);
}

// A link a row of blocks, a thread a limb and then the next of its row. links [gridDim.y, 4] as Topology.links;
// a link's limbs go from each peak of its first part to each of its second, and follow those of the link before.
template <class T>
__device__ __forceinline__ void limbs(const T *paf, int height, int width, const int *links, const int *totals,
                                      const float *refined, int most, int samples, float *scores) {
    const int *of = links + 4 * blockIdx.y;
    int others = totals[of[3]], count = totals[of[2]] * others;
    for (const int *link = links; link < of; link += 4) scores += totals[link[2]] * totals[link[3]];
    const T *field_y = paf + (long long)of[0] * height * width, *field_x = paf + (long long)of[1] * height * width;
    for (int limb = blockIdx.x * blockDim.x + threadIdx.x; limb < count; limb += gridDim.x * blockDim.x) {
        const float *a = refined + 2 * (of[2] * most + limb / others);
        const float *b = refined + 2 * (of[3] * most + limb % others);
        float ay = a[0] * height, ax = a[1] * width;
        float dy = b[0] * height - ay, dx = b[1] * width - ax;
        float length = (float)(sqrtf(dy * dy + dx * dx) + EPSILON);
        float along_y = dy / length, along_x = dx / length, total = 0;
        for (int step = 0; step < samples; step++) {
            float part = (float)step / (float)(samples - 1);
            float y = part * dy + ay, x = part * dx + ax;
            if (!(y > -1 && y < height && x > -1 && x < width)) continue;
            int pixel = (int)y * width + (int)x;
            total += value_of(field_y[pixel]) * along_y + value_of(field_x[pixel]) * along_x;
        }
        scores[limb] = total / samples;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
find_peaks_f32(const float *cmap, int height, int width, float threshold, int reach, int most, int *totals,
               int *places, float *refined, float *values) {
    peaks(cmap, height, width, threshold, reach, most, totals, places, refined, values);
}
extern "C" __global__ void score_limbs_f32(const float *paf, int height, int width, const int *links,
                                           const int *totals, const float *refined, int most, int samples,
                                           float *scores) {
    limbs(paf, height, width, links, totals, refined, most, samples, scores);
}
extern "C" __global__ void __launch_bounds__(THREADS)
find_peaks_f16(const __half *cmap, int height, int width, float threshold, int reach, int most, int *totals,
               int *places, float *refined, float *values) {
    peaks(cmap, height, width, threshold, reach, most, totals, places, refined, values);
}
extern "C" __global__ void score_limbs_f16(const __half *paf, int height, int width, const int *links,
                                           const int *totals, const float *refined, int most, int samples,
                                           float *scores) {
    limbs(paf, height, width, links, totals, refined, most, samples, scores);
}
