// What a YOLO's output becomes: boxes above a threshold, best first, without doubles: the CUDA twin of
// decode (tasks/yolo_heads.py) and nms.py. Nothing is read back between the kernels: how many boxes there are
// is known to the GPU alone, and a block beyond them ends at once. blockIdx.y is the picture of the batch.
// Each sum and product is rounded as NumPy's, hence --fmad=false. The slots of candidates come in any order,
// but keys differ in the anchor, so that their ranks do not.
#include <cuda_fp16.h>

#define ANCHORS 32  // of a block of decode; of one of rank_boxes the keys
#define PARTS 8     // threads an anchor or key
#define THREADS 256
#define TILE 64     // boxes that one word of the table of overlaps has
#define WORDS 132   // of a row of that table at most: CHUNK / TILE of yolo_cuda.py
typedef unsigned long long u64;

enum { CLASS_SCORES, OBJECTNESS, ROWS };

__device__ float number(float value) { return value; }
__device__ float number(__half value) { return __half2float(value); }
__device__ bool is_finite(float value) { return value - value == 0; }

// The smaller the key, the higher the score; of equal scores the earlier anchor.
__device__ u64 key_of(float score, int anchor) {
    unsigned bits = (unsigned)__float_as_int(score);
    bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
    return (u64)~bits << 32 | (unsigned)anchor;
}

__device__ float score_of(u64 key) {
    unsigned bits = ~(unsigned)(key >> 32);
    return __int_as_float((int)(bits ^ (bits >> 31 ? 0x80000000u : 0xffffffffu)));
}

// The centre and size of anchor number `anchor` of a YOLOX, whose grids of s0, s1, … pixels a cell follow
// each other.
__device__ void on_grid(int anchor, int height, int width, int4 strides, float *x, float *y, float *w, float *h) {
    int steps[4] = {strides.x, strides.y, strides.z, strides.w};
    for (int i = 0; i < 4 && steps[i]; i++) {
        int across = width / steps[i], cells = height / steps[i] * across;
        if (anchor < cells) {
            float stride = (float)steps[i];
            *x = (*x + anchor % across) * stride;
            *y = (*y + anchor / across) * stride;
            *w = expf(*w) * stride;
            *h = expf(*h) * stride;
            return;
        }
        anchor -= cells;
    }
}

// out: a network's output, value (anchor, column) at anchor · anchor_step + column · column_step. Candidates:
// keys and boxes (left, top, right, bottom), labels [anchors], counts [pictures, 2] (candidates, kept boxes).
// wanted: one bit a class, `words` words of 32; 0 words: every class.
template <class T>
__device__ void decode(const T *out, int anchors, int columns, int anchor_step, int column_step, int kind,
                       float gate, float threshold, int height, int width, int4 strides,
                       const unsigned *wanted, int words, int *counts, u64 *keys, float4 *boxes, int *labels) {
    __shared__ float best[PARTS][ANCHORS + 1];
    __shared__ int which[PARTS][ANCHORS + 1];
    int thread = threadIdx.x, picture = blockIdx.y;
    // the threads of a warp read what lies side by side: anchors, or columns of a few anchors
    int local = column_step == 1 ? thread / PARTS : thread % ANCHORS;
    int part = column_step == 1 ? thread % PARTS : thread / ANCHORS;
    int anchor = blockIdx.x * ANCHORS + local;
    const T *from = out + ((long long)picture * anchors * columns + (long long)anchor * anchor_step);
    bool there = anchor < anchors;
    float top = -INFINITY;
    int label = 0;
    if (there && kind == ROWS) {
        if (part == 0 && number(from[4 * column_step]) > gate) {
            float value = number(from[5 * column_step]);
            top = number(from[4 * column_step]);
            if (!is_finite(value) || value <= -1 || value >= 2147483648.0f) top = NAN;
            else label = (int)value;
        }
    } else if (there) {
        float object = kind == OBJECTNESS ? number(from[4 * column_step]) : 1;
        int first = kind == OBJECTNESS ? 5 : 4;
        if (kind != OBJECTNESS || object > gate)
            for (int c = first + part; c < columns; c += PARTS) {
                float score = number(from[c * column_step]) * object;
                if (!(score <= top)) {  // also where either is not a number: that stays
                    top = top != top ? top : score;
                    label = c - first;
                }
            }
    }
    best[part][local] = top;
    which[part][local] = label;
    __syncthreads();
    if (part != 0 || !there) return;
    for (int p = 1; p < PARTS; p++) {
        float other = best[p][local];
        if (other != other || other > top || (other == top && which[p][local] < label)) {
            if (top == top) top = other;
            label = which[p][local];
        }
    }
    if (!is_finite(top) || !(kind == ROWS || top > threshold)) return;
    if (words && (label >= 32 * words || !(wanted[label / 32] >> label % 32 & 1))) return;
    float4 box;
    box.x = number(from[0]);
    box.y = number(from[column_step]);
    box.z = number(from[2 * column_step]);
    box.w = number(from[3 * column_step]);
    if (kind != ROWS) {
        float x = box.x, y = box.y, w = box.z, h = box.w;
        if (strides.x) on_grid(anchor, height, width, strides, &x, &y, &w, &h);
        box.x = x - w / 2;
        box.y = y - h / 2;
        box.z = x + w / 2;
        box.w = y + h / 2;
    }
    if (!(is_finite(box.x) && is_finite(box.y) && is_finite(box.z) && is_finite(box.w))) return;
    if (!(box.z >= box.x && box.w >= box.y)) return;
    long long slot = atomicAdd(counts + 2 * picture, 1) + (long long)picture * anchors;
    keys[slot] = key_of(top, anchor);
    boxes[slot] = box;
    labels[slot] = label;
}

extern "C" __global__ void decode_f32(const float *out, int anchors, int columns, int anchor_step,
                                      int column_step, int kind, float gate, float threshold, int height,
                                      int width, int s0, int s1, int s2, int s3, const unsigned *wanted,
                                      int words, int *counts, u64 *keys, float4 *boxes, int *labels) {
    decode(out, anchors, columns, anchor_step, column_step, kind, gate, threshold, height, width,
           make_int4(s0, s1, s2, s3), wanted, words, counts, keys, boxes, labels);
}

extern "C" __global__ void decode_f16(const __half *out, int anchors, int columns, int anchor_step,
                                      int column_step, int kind, float gate, float threshold, int height,
                                      int width, int s0, int s1, int s2, int s3, const unsigned *wanted,
                                      int words, int *counts, u64 *keys, float4 *boxes, int *labels) {
    decode(out, anchors, columns, anchor_step, column_step, kind, gate, threshold, height, width,
           make_int4(s0, s1, s2, s3), wanted, words, counts, keys, boxes, labels);
}

extern "C" __global__ void clear_counts(int *counts, int size) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) counts[i] = 0;
}

// Each candidate's rank is how many keys are smaller. The `most` best go to ranked [most], marks [most]
// (score, label).
extern "C" __global__ void rank_boxes(const int *counts, int anchors, int most, const u64 *keys,
                                      const float4 *boxes, const int *labels, float4 *ranked, float2 *marks) {
    __shared__ int smaller[PARTS][ANCHORS];
    int picture = blockIdx.y, count = counts[2 * picture], local = threadIdx.x % ANCHORS;
    int start = blockIdx.x * ANCHORS, i = start + local, part = threadIdx.x / ANCHORS, rank = 0;
    if (start >= count) return;
    keys += (long long)picture * anchors;
    u64 key = i < count ? keys[i] : 0;
#pragma unroll 4
    for (int j = part; j < count; j += PARTS) rank += keys[j] < key;
    smaller[part][local] = rank;
    __syncthreads();
    if (part != 0 || i >= count) return;
    for (int p = 1; p < PARTS; p++) rank += smaller[p][local];
    if (rank >= most) return;
    long long from = (long long)picture * anchors + i, to = (long long)picture * most + rank;
    ranked[to] = boxes[from];
    marks[to] = make_float2(score_of(key), (float)labels[from]);
}

// Of one class, and overlapping above `limit`: the operations of nms.py in their order.
__device__ bool doubles(float4 a, float4 b, float limit) {
    float width = fminf(a.z, b.z) - fmaxf(a.x, b.x), height = fminf(a.w, b.w) - fmaxf(a.y, b.y);
    float common = fmaxf(width, 0) * height;
    if (common <= 0 && limit >= 0) return false;
    float united = (a.z - a.x) * (a.w - a.y) + (b.z - b.x) * (b.w - b.y) - common;
    return common / united > limit;
}

// How many of the ranked boxes from `first` on are in this chunk.
__device__ int chunk_size(int count, int most, int first, int chunk) {
    return max(min(min(count, most) - first, chunk), 0);
}

// dead [chunk]: which boxes of a later chunk a box kept before drops.
extern "C" __global__ void drop_boxes(const int *counts, int most, int first, int chunk, int max_det,
                                      const float4 *ranked, const float2 *marks, const int *kept, int agnostic,
                                      float limit, unsigned char *dead) {
    int picture = blockIdx.y, total = counts[2 * picture + 1];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (total >= max_det || i >= chunk_size(counts[2 * picture], most, first, chunk)) return;
    ranked += (long long)picture * most;
    marks += (long long)picture * most;
    kept += (long long)picture * max_det;
    float4 box = ranked[first + i];
    float label = marks[first + i].y;
    bool over = false;
    for (int k = 0; k < total && !over; k++)
        over = (agnostic || marks[kept[k]].y == label) && doubles(ranked[kept[k]], box, limit);
    dead[(long long)picture * chunk + i] = over;
}

// over [chunk / 64, chunk]: bit b of over[c, i] says that box i drops box 64 · c + b, a later one. Words of
// earlier boxes are not written. A thread makes a quarter of a word.
extern "C" __global__ void compare_boxes(const int *counts, int most, int first, int chunk, int max_det,
                                         const float4 *ranked, const float2 *marks, int agnostic, float limit,
                                         unsigned short *over) {
    __shared__ float4 boxes[TILE + 4];  // room after each quarter: its boxes lie in other banks
    __shared__ float labels[TILE + 4];
    int picture = blockIdx.y, thread = threadIdx.x, row = thread / 4, quarter = thread % 4;
    int size = chunk_size(counts[2 * picture], most, first, chunk);
    if (first && counts[2 * picture + 1] >= max_det) return;
    ranked += (long long)picture * most + first;
    marks += (long long)picture * most + first;
    over += (long long)picture * (chunk / TILE) * chunk * 4;
    int tiles = (size + TILE - 1) / TILE;
    for (int tile = blockIdx.x; tile < tiles * tiles; tile += gridDim.x) {
        int rows = tile / tiles * TILE, columns = tile % tiles * TILE, i = rows + row, bits = 0;
        if (columns < rows) continue;
        __syncthreads();  // the tile before has been read
        if (thread < TILE && columns + thread < size) {
            boxes[thread + thread / 16] = ranked[columns + thread];
            labels[thread + thread / 16] = marks[columns + thread].y;
        }
        __syncthreads();
        if (i >= size) continue;
        float4 box = ranked[i];
        float label = marks[i].y;
        for (int b = 0; b < 16; b++) {
            int j = columns + 16 * quarter + b, at = 17 * quarter + b;
            if (j > i && j < size && (agnostic || labels[at] == label) && doubles(box, boxes[at], limit))
                bits |= 1 << b;
        }
        over[((long long)columns / TILE * chunk + i) * 4 + quarter] = (unsigned short)bits;
    }
}

// One block a picture: box by box, best first, whoever is still there stays and drops the later ones it
// overlaps. kept [max_det]: their ranks. over: 0 where nothing drops anything. dead: of the first chunk 0.
// With the last chunk rows [1 + max_det, 6] are written: (how many, candidates), then left, top, right,
// bottom, score, label of each; and the counts are 0 again.
extern "C" __global__ void sweep_boxes(int *counts, int most, int first, int chunk, int max_det, int last,
                                       const u64 *over, const unsigned char *dead, const float4 *ranked,
                                       const float2 *marks, int *kept, float *rows) {
    __shared__ u64 dropped[WORDS], among[TILE];
    __shared__ int fresh[TILE], found;
    int picture = blockIdx.y, thread = threadIdx.x, candidates = counts[2 * picture];
    int total = first ? counts[2 * picture + 1] : 0;
    int size = total < max_det ? chunk_size(candidates, most, first, chunk) : 0;  // else nobody compared them
    int tiles = (size + TILE - 1) / TILE;
    kept += (long long)picture * max_det;
    if (over) over += (long long)picture * (chunk / TILE) * chunk;
    for (int w = thread; w < tiles; w += THREADS) {
        u64 bits = 0;
        for (int i = w * TILE; dead && i < min(size, (w + 1) * TILE); i++)
            bits |= (u64)dead[(long long)picture * chunk + i] << i % TILE;
        dropped[w] = bits;
    }
    u64 next = over && thread < min(size, TILE) ? over[thread] : 0;
    for (int tile = 0; tile < tiles && total < max_det; tile++) {
        int start = tile * TILE, follows = start + TILE + thread;
        if (thread < TILE) {
            among[thread] = next;
            next = over && follows < size ? over[(long long)(tile + 1) * chunk + follows] : 0;
        }
        __syncthreads();
        if (thread == 0) {
            u64 left = ~dropped[tile];
            if (size - start < TILE) left &= ((u64)1 << (size - start)) - 1;
            int stay = 0;
            while (left && total + stay < max_det) {
                int i = __ffsll((long long)left) - 1;
                left &= left - 1;
                left &= ~among[i];
                fresh[stay++] = i;
            }
            found = stay;
        }
        __syncthreads();
        if (thread < found) kept[total + thread] = first + start + fresh[thread];
        for (int w = tile + 1 + thread; over && w < tiles; w += THREADS) {
            u64 bits = 0;
            for (int k = 0; k < found; k++) bits |= over[(long long)w * chunk + start + fresh[k]];
            dropped[w] |= bits;
        }
        total += found;
    }
    __syncthreads();  // everybody has read the counts, and sees what is kept
    if (thread == 0) counts[2 * picture + 1] = total;
    if (!last) return;
    rows += (long long)picture * (1 + max_det) * 6;
    if (thread == 0) {
        rows[0] = (float)total;
        rows[1] = (float)candidates;
        counts[2 * picture] = 0;
    }
    for (int k = thread; k < total; k += THREADS) {
        float4 box = ranked[(long long)picture * most + kept[k]];
        float2 mark = marks[(long long)picture * most + kept[k]];
        float *row = rows + 6 * (k + 1);
        row[0] = box.x, row[1] = box.y, row[2] = box.z, row[3] = box.w, row[4] = mark.x, row[5] = mark.y;
    }
}
