// Clips out of a ring of frames: the CUDA twin of edgekit.tasks.clip_buffer's window and of action_tape's.
// Values are looked up in a table of 256 a channel and moved as bits, so float32 and float16 are one text.

#define THREADS 256  // a block; THREADS of clip_cuda.py, and as many entries as a table has

template <typename T, int N> struct alignas(N * sizeof(T)) Pack { T at[N]; };

// N pixels a thread. frames [2, length]: the clip's frames counted from `first`, the oldest one that the ring
// has standing in for older ones; then the slow path's place for each, or -1.
template <typename T, int N>
__device__ void gather(const unsigned char *ring, int span, int channels, int width, int plane, int high,
                       int wide, const int *frames, int length, int first, int few, const T *tables, T *fast,
                       T *slow) {
    __shared__ T table[THREADS];
    int channel = blockIdx.y / length, frame = blockIdx.y % length;
    table[threadIdx.x] = tables[channel * THREADS + threadIdx.x];
    __syncthreads();
    int number = first + frames[frame], also = frames[length + frame];
    const unsigned char *from = ring + ((size_t)((number > 0 ? number : 0) % span) * channels + channel) * plane;
    T *into = fast + ((size_t)channel * length + frame) * plane;
    T *besides = slow + ((size_t)channel * few + (also < 0 ? 0 : also)) * plane;
    bool filled = high * width == plane && wide == width;  // else there is nothing right of or below the picture
    for (int at = (blockIdx.x * THREADS + threadIdx.x) * N; at < plane; at += gridDim.x * THREADS * N) {
        Pack<unsigned char, N> bytes = *(const Pack<unsigned char, N> *)(from + at);
        Pack<T, N> values;
        for (int n = 0; n < N; n++) {
            bool inside = filled || ((at + n) / width < high && (at + n) % width < wide);
            values.at[n] = inside ? table[bytes.at[n]] : (T)0;
        }
        *(Pack<T, N> *)(into + at) = values;
        if (also >= 0) *(Pack<T, N> *)(besides + at) = values;
    }
}

// Blocks along y for a channel's frame. ring [span, channels, plane]; fast [channels, length, plane] and
// slow [channels, few, plane]; (high, wide) is the picture's size in the upper left, zeros lie beside it.
// packed: every plane of ring and clips begins where 16 bytes of values may be written at once.
#define GATHER(name, T)                                                                                      \
    extern "C" __global__ void name(const unsigned char *ring, int span, int channels, int width, int plane, \
                                    int high, int wide, const int *frames, int length, int first, int few,   \
                                    const T *tables, T *fast, T *slow, int packed) {                         \
        if (packed)                                                                                          \
            gather<T, 16 / sizeof(T)>(ring, span, channels, width, plane, high, wide, frames, length, first, \
                                      few, tables, fast, slow);                                              \
        else                                                                                                 \
            gather<T, 1>(ring, span, channels, width, plane, high, wide, frames, length, first, few, tables, \
                         fast, slow);                                                                        \
    }
GATHER(gather_f32, unsigned int)
GATHER(gather_f16, unsigned short)
