// Clips out of a ring of frames: the CUDA twin of edgekit.tasks.clip_buffer's window and of action_tape's.
// Values are looked up in a table of 256 a channel and moved as bits, so float32 and float16 are one text.

#define THREADS 256  // a block; THREADS of clip_cuda.py, and as many entries as a table has

typedef unsigned Bits32;
typedef unsigned short Bits16;

// [span, channels, plane] bytes at `at`; a picture of (high, wide) in the upper left of planes `width` wide.
struct Ring {
    const unsigned char *at;
    int span, channels, width, plane, high, wide;
};

template <typename T, int N> struct alignas(N * sizeof(T)) Pack { T at[N]; };

// N pixels a thread, blocks along y for a frame of a channel.
template <typename T, int N>
__device__ void gather(Ring ring, const int *frames, int length, int first, int few, const T *tables, T *fast,
                       T *slow) {
    __shared__ T table[THREADS];
    int channel = blockIdx.y / length, frame = blockIdx.y % length;
    table[threadIdx.x] = tables[channel * THREADS + threadIdx.x];
    __syncthreads();
    int place = max(first + frames[frame], 0) % ring.span, also = frames[length + frame];
    const unsigned char *from = ring.at + ((size_t)place * ring.channels + channel) * ring.plane;
    T *into = fast + ((size_t)channel * length + frame) * ring.plane;
    T *besides = slow + ((size_t)channel * few + max(also, 0)) * ring.plane;
    bool filled = ring.high * ring.width == ring.plane && ring.wide == ring.width;
    for (int at = (blockIdx.x * THREADS + threadIdx.x) * N; at < ring.plane; at += gridDim.x * THREADS * N) {
        Pack<unsigned char, N> bytes = *(const Pack<unsigned char, N> *)(from + at);
        Pack<T, N> values;
        for (int n = 0; n < N; n++) {  // zeros lie right of the picture and below it
            bool inside = filled || ((at + n) / ring.width < ring.high && (at + n) % ring.width < ring.wide);
            values.at[n] = inside ? table[bytes.at[n]] : (T)0;
        }
        *(Pack<T, N> *)(into + at) = values;
        if (also >= 0) *(Pack<T, N> *)(besides + at) = values;
    }
}

// frames [2, length]: the clip's frames counted from `first`, number 0 standing in for those before it; then
// the slow path's place of each, or -1. fast [channels, length, plane], slow [channels, few, plane].
// packed: every plane of ring and clips begins where 16 bytes of values may be written at once.
extern "C" __global__ void gather_f32(const unsigned char *ring, int span, int channels, int width, int plane,
                                      int high, int wide, const int *frames, int length, int first, int few,
                                      const Bits32 *tables, Bits32 *fast, Bits32 *slow, int packed) {
    Ring from = {ring, span, channels, width, plane, high, wide};
    if (packed) gather<Bits32, 4>(from, frames, length, first, few, tables, fast, slow);
    else gather<Bits32, 1>(from, frames, length, first, few, tables, fast, slow);
}

extern "C" __global__ void gather_f16(const unsigned char *ring, int span, int channels, int width, int plane,
                                      int high, int wide, const int *frames, int length, int first, int few,
                                      const Bits16 *tables, Bits16 *fast, Bits16 *slow, int packed) {
    Ring from = {ring, span, channels, width, plane, high, wide};
    if (packed) gather<Bits16, 8>(from, frames, length, first, few, tables, fast, slow);
    else gather<Bits16, 1>(from, frames, length, first, few, tables, fast, slow);
}
