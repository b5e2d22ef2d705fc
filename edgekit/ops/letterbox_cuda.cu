// A BGR picture scaled into a network's input: the CUDA twin of letterbox.py, equal to OpenCV's 8-bit
// INTER_LINEAR on x86 to the last bit (modules/imgproc/src/resize.cpp: weights of 11 bits, and roundings as
// of its VResizeLinear). Hence the double in where a pixel lies, and --fmad=false when it is compiled.

#define COLUMNS 64  // of a block's tile; a thread works in one column, so that a warp reads and writes along rows
#define ROWS 16
#define THREADS 256
#define ONE 2048.0f  // INTER_RESIZE_COEF_SCALE

// Between which two source pixels an output pixel lies (x, y) and how much each weighs (z, w).
__device__ int4 between(int index, double scale, int size, bool across) {
    float at = (float)((index + 0.5) * scale - 0.5);
    int first = (int)floorf(at);
    float part = at - first;
    if (across && (first < 0 || first >= size - 1)) part = 0;  // rows keep their weights and repeat the edge
    if (across) first = min(max(first, 0), size - 1);
    int4 pair;
    pair.x = min(max(first, 0), size - 1);
    pair.y = min(max(first + 1, 0), size - 1);
    pair.z = (int)rintf((1 - part) * ONE);
    pair.w = (int)rintf(part * ONE);
    return pair;
}

// picture: uint8 [height, width, 3], `pitch` bytes a row, the next one `apart` bytes on; blockIdx.z says which.
// Each fills [content_height, content_width] of its out [3, out_height, out_width] from (top, left). tables [3, 256]: what a byte becomes in each plane of out.
// reversed: the first plane has the picture's last channel. pad: grey of the border; below 0: it stays.
template <class T>
__device__ void fill(const unsigned char *picture, long long apart, long long pitch, int height, int width,
                     double scale_y, double scale_x, int top, int left, int content_height, int content_width, T *out,
                     int out_height, int out_width, const T *tables, int reversed, int pad) {
    __shared__ int4 columns[COLUMNS], rows[ROWS];
    __shared__ T values[3 * 256];
    int x0 = blockIdx.x * COLUMNS, y0 = blockIdx.y * ROWS, thread = threadIdx.x;
    if (thread < COLUMNS) columns[thread] = between(x0 + thread - left, scale_x, width, true);
    else if (thread < COLUMNS + ROWS)
        rows[thread - COLUMNS] = between(y0 + thread - COLUMNS - top, scale_y, height, false);
    for (int i = thread; i < 3 * 256; i += THREADS) values[i] = tables[i];
    __syncthreads();
    int x = x0 + thread % COLUMNS;
    if (x >= out_width) return;
    bool inside = x >= left && x < left + content_width;
    int4 column = columns[thread % COLUMNS];
    long long plane = (long long)out_height * out_width;
    picture += blockIdx.z * apart;
    out += 3 * blockIdx.z * plane;
    for (int r = thread / COLUMNS; r < ROWS && y0 + r < out_height; r += THREADS / COLUMNS) {
        int y = y0 + r;
        T *to = out + (long long)y * out_width + x;
        if (inside && y >= top && y < top + content_height) {
            int4 row = rows[r];
            const unsigned char *upper = picture + row.x * pitch, *lower = picture + row.y * pitch;
            for (int c = 0; c < 3; c++) {
                int a = 3 * column.x + c, b = 3 * column.y + c;
                int above = upper[a] * column.z + upper[b] * column.w;
                int below = lower[a] * column.z + lower[b] * column.w;
                int value = (((row.z * (above >> 4)) >> 16) + ((row.w * (below >> 4)) >> 16) + 2) >> 2;
                int p = reversed ? 2 - c : c;
                to[p * plane] = values[256 * p + value];
            }
        } else if (pad >= 0) {
            for (int p = 0; p < 3; p++) to[p * plane] = values[256 * p + pad];
        }
    }
}

extern "C" __global__ void fill_f32(const unsigned char *picture, long long apart, long long pitch,
                                    int height, int width, double scale_y, double scale_x, int top, int left, int content_height,
                                    int content_width, float *out, int out_height, int out_width,
                                    const float *tables, int reversed, int pad) {
    fill(picture, apart, pitch, height, width, scale_y, scale_x, top, left, content_height, content_width, out,
         out_height, out_width, tables, reversed, pad);
}

// float16 as its bits: they are only looked up.
extern "C" __global__ void fill_f16(const unsigned char *picture, long long apart, long long pitch,
                                    int height, int width, double scale_y, double scale_x, int top, int left, int content_height,
                                    int content_width, unsigned short *out, int out_height, int out_width,
                                    const unsigned short *tables, int reversed, int pad) {
    fill(picture, apart, pitch, height, width, scale_y, scale_x, top, left, content_height, content_width, out,
         out_height, out_width, tables, reversed, pad);
}

extern "C" __global__ void fill_u8(const unsigned char *picture, long long apart, long long pitch,
                                    int height, int width, double scale_y, double scale_x, int top, int left, int content_height,
                                    int content_width, unsigned char *out, int out_height, int out_width,
                                    const unsigned char *tables, int reversed, int pad) {
    fill(picture, apart, pitch, height, width, scale_y, scale_x, top, left, content_height, content_width, out,
         out_height, out_width, tables, reversed, pad);
}
