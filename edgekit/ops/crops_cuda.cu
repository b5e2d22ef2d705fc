// Crops of people out of a picture, bilinear and normalised, all of a picture in one launch: the CUDA twin of
// crops.py. The arithmetic is that of OpenCV's warpAffine from 4.12 on where the CPU has fused
// multiply-add: places of the source in float32, one fused step along x, weights that are not cut to steps.
// Every fused step is written out, as it is compiled with --fmad=false.

#define PIXELS 4   // of a crop a thread; blockDim.x · PIXELS a block
#define BRIGHT 16  // counts of blocks that saw a byte above 1 begin at this bit of a crop's word

// The three bytes (B, G, R) of a crop at pixel `p`; black where the source ends. matrix: from crop to source.
__device__ __forceinline__ void warp_pixel(const unsigned char *picture, int pitch, int height, int width,
                                           const float *matrix, int p, int wide, int bytes[3]) {
    float x = (float)(p % wide), y = (float)(p / wide);
    float sx = fmaf(x, matrix[0], y * matrix[1] + matrix[2]);
    float sy = fmaf(x, matrix[3], y * matrix[4] + matrix[5]);
    bytes[0] = bytes[1] = bytes[2] = 0;
    if (!(sx > -1.0f && sx < (float)width && sy > -1.0f && sy < (float)height)) return;  // not a number too
    int left = (int)floorf(sx), top = (int)floorf(sy);
    float across = sx - (float)left, down = sy - (float)top;
    bool has_left = left >= 0, has_right = left + 1 < width, has_top = top >= 0, has_low = top + 1 < height;
    const unsigned char *above = picture + (long long)top * pitch + 3 * left, *below = above + pitch;
    for (int c = 0; c < 3; c++) {
        float a = has_top && has_left ? (float)__ldg(above + c) : 0.0f;
        float b = has_top && has_right ? (float)__ldg(above + c + 3) : 0.0f;
        float d = has_low && has_left ? (float)__ldg(below + c) : 0.0f;
        float e = has_low && has_right ? (float)__ldg(below + c + 3) : 0.0f;
        float upper = fmaf(across, b - a, a), lower = fmaf(across, e - d, d);
        bytes[c] = __float2int_rn(fmaf(down, lower - upper, upper));
    }
}

// Grid: x over the pixels of a crop, y over the rows of `out`. The rows from `people` on become 0.
// matrices [people, 6]; tables [2, 3, 256]: what a byte of R, G and B becomes, in a crop that has a byte above
// 1 and in one that has none (AlphaPose divides by 255 only the first). seen [rows]: 0 before and after.
// out [rows, 3, high, wide].
template <class T>
__device__ __forceinline__ void crop_people(const unsigned char *picture, int pitch, int height, int width,
                                            const float *matrices, int people, const T *tables, T *out,
                                            int high, int wide, unsigned *seen) {
    __shared__ T bright[3 * 256];
    __shared__ unsigned told;
    int row = blockIdx.y, cells = high * wide;
    int first = blockIdx.x * blockDim.x * PIXELS + threadIdx.x;
    T *into = out + (long long)row * 3 * cells;
    if (row >= people) {
        for (int i = 0, p = first; i < PIXELS && p < cells; i++, p += blockDim.x)
            for (int c = 0; c < 3; c++) into[c * cells + p] = T(0);
        return;
    }
    for (int i = threadIdx.x; i < 3 * 256; i += blockDim.x) bright[i] = tables[i];
    float matrix[6];
    for (int i = 0; i < 6; i++) matrix[i] = matrices[6 * row + i];
    __syncthreads();
    int above = 0, bytes[3];
#pragma unroll
    for (int i = 0; i < PIXELS; i++) {
        int p = first + i * blockDim.x;
        if (p >= cells) break;
        warp_pixel(picture, pitch, height, width, matrix, p, wide, bytes);
        for (int c = 0; c < 3; c++) {
            above |= bytes[c] > 1;
            into[c * cells + p] = bright[256 * c + bytes[2 - c]];
        }
    }
    // The block that is done last knows of all the others; a crop without a byte above 1 it writes anew.
    __threadfence();
    above = __syncthreads_or(above);
    if (threadIdx.x == 0) told = atomicAdd(seen + row, above ? 1u + (1u << BRIGHT) : 1u);
    __syncthreads();
    if ((told & ((1u << BRIGHT) - 1)) + 1 < gridDim.x) return;
    if (threadIdx.x == 0) seen[row] = 0;
    if (above || told >> BRIGHT) return;
    for (int p = threadIdx.x; p < cells; p += blockDim.x) {
        warp_pixel(picture, pitch, height, width, matrix, p, wide, bytes);
        for (int c = 0; c < 3; c++)
            into[c * cells + p] = tables[256 * (3 + c) + bytes[2 - c]];
    }
}

extern "C" __global__ void clear(unsigned *seen, int rows) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < rows) seen[row] = 0;
}
// By the bytes of a value: the tables hold the values, whatever they are.
extern "C" __global__ void crop_people_2(const unsigned char *picture, int pitch, int height, int width,
                                         const float *matrices, int people, const unsigned short *tables,
                                         unsigned short *out, int high, int wide, unsigned *seen) {
    crop_people(picture, pitch, height, width, matrices, people, tables, out, high, wide, seen);
}
extern "C" __global__ void crop_people_4(const unsigned char *picture, int pitch, int height, int width,
                                         const float *matrices, int people, const unsigned *tables,
                                         unsigned *out, int high, int wide, unsigned *seen) {
    crop_people(picture, pitch, height, width, matrices, people, tables, out, high, wide, seen);
}
