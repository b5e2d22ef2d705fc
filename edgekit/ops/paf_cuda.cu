// TrtPose's peaks, their refinement and the scores of limbs: the CUDA twin of peaks.py and paf.py, equal to
// them to the last bit. Hence the order of every sum, and --fmad=false when it is compiled.
// No thread waits for another of its launch, so the same text runs as plain C++ in the tests.

#define EPSILON 1e-5  // EPSILON of paf.py, a double there too

__device__ int mirrored(int index, int size) {
    index = abs(index);
    return index < size ? index : 2 * (size - 1) - index;
}

// One thread a row of a map. columns [parts·height, width]: where the row's peaks are; counts [parts·height].
extern "C" __global__ void mark_peaks(const float *cmap, int parts, int height, int width, float threshold,
                                      int reach, int *columns, int *counts) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= parts * height) return;
    int y = row % height, found = 0;
    const float *map = cmap + (row - y) * width;
    int top = max(y - reach, 0), bottom = min(y + reach, height - 1);
    for (int x = 0; x < width; x++) {
        float value = map[y * width + x];
        bool highest = value >= threshold;
        int right = min(x + reach, width - 1);
        for (int v = top; v <= bottom && highest; v++)
            for (int u = max(x - reach, 0); u <= right; u++) highest = highest && !(map[v * width + u] > value);
        if (highest) columns[row * width + found++] = x;
    }
    counts[row] = found;
}

// One thread a row of a map. For each part at most `most` peaks, row by row: places [parts, most, 2] (y, x),
// refined [parts, most, 2] (y, x as fractions), values [parts, most]; totals [parts].
extern "C" __global__ void refine_peaks(const float *cmap, int parts, int height, int width, int reach, int most,
                                        const int *columns, const int *counts, int *totals, int *places,
                                        float *refined, float *values) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= parts * height) return;
    int y = row % height, part = row / height, at = 0;
    const float *map = cmap + (row - y) * width;
    for (int before = row - y; before < row; before++) at += counts[before];
    for (int i = 0; i < counts[row] && at < most; i++, at++) {
        int x = columns[row * width + i], out = part * most + at;
        float sum_y = 0, sum_x = 0, sum = 0;
        for (int v = y - reach; v <= y + reach; v++)
            for (int u = x - reach; u <= x + reach; u++) {
                float weight = map[mirrored(v, height) * width + mirrored(u, width)];
                sum += weight;
                sum_y += weight * v;
                sum_x += weight * u;
            }
        places[2 * out] = y;
        places[2 * out + 1] = x;
        refined[2 * out] = (sum_y / sum + 0.5f) / height;
        refined[2 * out + 1] = (sum_x / sum + 0.5f) / width;
        values[out] = map[y * width + x];
    }
    if (y == height - 1) totals[part] = at < most ? at : most;
}

// One thread a limb. links [count, 4] as Topology.links; starts [count + 1]: the first limb of each link; a
// link's limbs go from each peak of its first part to each of its second.
extern "C" __global__ void score_limbs(const float *paf, int height, int width, const int *links, int count,
                                       const int *starts, const int *totals, const float *refined, int most,
                                       int samples, float *scores) {
    int limb = blockIdx.x * blockDim.x + threadIdx.x;
    if (limb >= starts[count]) return;
    int link = 0;
    while (limb >= starts[link + 1]) link++;
    const int *of = links + 4 * link;
    int nth = limb - starts[link], others = totals[of[3]];
    const float *a = refined + 2 * (of[2] * most + nth / others);
    const float *b = refined + 2 * (of[3] * most + nth % others);
    const float *field_y = paf + of[0] * height * width, *field_x = paf + of[1] * height * width;
    float ay = a[0] * height, ax = a[1] * width;
    float dy = b[0] * height - ay, dx = b[1] * width - ax;
    float length = (float)(sqrtf(dy * dy + dx * dx) + EPSILON);
    float along_y = dy / length, along_x = dx / length, total = 0;
    for (int step = 0; step < samples; step++) {
        float part = (float)step / (float)(samples - 1);
        float y = part * dy + ay, x = part * dx + ax;
        if (!(y > -1 && y < height && x > -1 && x < width)) continue;
        int pixel = (int)y * width + (int)x;
        total += field_y[pixel] * along_y + field_x[pixel] * along_x;
    }
    scores[limb] = total / samples;
}
