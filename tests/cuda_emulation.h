// Enough of CUDA to run a .cu file as plain C++: the threads of a block take turns as fibers, in random
// order, and wait for each other where the kernel says so. Blocks run one after the other, in random order
// too, so that what depends on an order that no GPU promises gives wrong numbers.
// Not emulated: `extern __shared__`, streams inside kernels, textures, cooperative groups.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline
#define __noinline__
#define __restrict__ __restrict
#define __launch_bounds__(...)

using std::abs; using std::isfinite; using std::isinf; using std::isnan; using std::signbit;
typedef unsigned long long ull;
typedef long long sll;

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {} };
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

#define VECTORS(T, name) \
    struct name##2 { T x, y; }; struct name##3 { T x, y, z; }; struct alignas(4 * sizeof(T)) name##4 { T x, y, z, w; }; \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; } \
    static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
VECTORS(float, float) VECTORS(int, int) VECTORS(unsigned char, uchar) VECTORS(short, short)
VECTORS(unsigned short, ushort)
struct uint2 { unsigned x, y; }; struct alignas(16) uint4 { unsigned x, y, z, w; };
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
struct double2 { double x, y; };

#define EITHER(T) \
    static inline T min(T a, T b) { return b < a ? b : a; } static inline T max(T a, T b) { return a < b ? b : a; }
EITHER(int) EITHER(unsigned) EITHER(sll) EITHER(ull) EITHER(long) EITHER(unsigned long)
static inline unsigned min(int a, unsigned b) { return min((unsigned)a, b); }
static inline unsigned min(unsigned a, int b) { return min(a, (unsigned)b); }
static inline unsigned max(int a, unsigned b) { return max((unsigned)a, b); }
static inline unsigned max(unsigned a, int b) { return max(a, (unsigned)b); }
static inline float min(float a, float b) { return fminf(a, b); }  // as CUDA's: NaN gives way
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

template <class To, class From> static inline To bits_as(From value) {
    static_assert(sizeof(To) == sizeof(From), "of one size");
    To out; memcpy(&out, &value, sizeof out); return out;
}
static inline int __float_as_int(float v) { return bits_as<int>(v); }
static inline unsigned __float_as_uint(float v) { return bits_as<unsigned>(v); }
static inline float __int_as_float(int v) { return bits_as<float>(v); }
static inline float __uint_as_float(unsigned v) { return bits_as<float>(v); }
static inline sll __double_as_longlong(double v) { return bits_as<sll>(v); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline int __float2int_rn(float v) { return (int)nearbyintf(v); }
static inline int __float2int_rd(float v) { return (int)floorf(v); }
static inline int __float2int_ru(float v) { return (int)ceilf(v); }
static inline int __float2int_rz(float v) { return (int)v; }
static inline float __int2float_rn(int v) { return (float)v; }
static inline float __uint2float_rn(unsigned v) { return (float)v; }
#define __expf expf
static inline float __saturatef(float v) { return v > 0 ? v < 1 ? v : 1 : 0; }
static inline float rsqrtf(float v) { return 1 / sqrtf(v); }
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __popcll(ull v) { return __builtin_popcountll(v); }
static inline int __ffs(int v) { return __builtin_ffs(v); }
static inline int __ffsll(sll v) { return __builtin_ffsll(v); }
static inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
static inline int __clzll(sll v) { return v ? __builtin_clzll((ull)v) : 64; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((ull)a * b >> 32); }
template <class T> static inline T __ldg(const T *p) { return *p; }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

// --- half precision: the bits, rounded to nearest even ---
struct __half { uint16_t bits; };
static inline float __half2float(__half h) {
    unsigned sign = (h.bits & 0x8000u) << 16, exponent = h.bits >> 10 & 31, low = h.bits & 1023;
    if (exponent == 31) return bits_as<float>(sign | 0x7f800000u | low << 13);
    if (exponent == 0) return (sign ? -1.f : 1.f) * ldexpf((float)low, -24);
    return bits_as<float>(sign | (exponent + 112) << 23 | low << 13);
}
static inline __half __float2half_rn(float f) {
    unsigned v = bits_as<unsigned>(f), sign = v >> 16 & 0x8000u, size = v & 0x7fffffffu;
    if (size > 0x7f800000u) return {(uint16_t)0x7fff};
    if (size >= 0x47800000u) return {(uint16_t)(sign | 0x7c00u)};
    if (size < 0x38800000u) {  // below the normal ones: multiples of 2^-24
        return {(uint16_t)(sign | (unsigned)nearbyintf(fabsf(f) * 16777216.f))};
    }
    unsigned rounded = size + 0xfffu + (size >> 13 & 1);
    return {(uint16_t)(sign | ((rounded - 0x38000000u) >> 13))};
}
static inline __half __float2half(float f) { return __float2half_rn(f); }
static inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
static inline unsigned short __half_as_ushort(__half h) { return h.bits; }
struct __half2 { __half x, y; };
static inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
typedef __half half;
typedef __half2 half2;

// --- atomics: one thread runs at a time ---
#define ATOMIC(name, expression) \
    template <class T, class U> static inline T name(T *at, U given) { \
        T old = *at, value = (T)given; (void)value; *at = (expression); return old; }
ATOMIC(atomicAdd, old + value) ATOMIC(atomicSub, old - value)
ATOMIC(atomicMax, old < value ? value : old) ATOMIC(atomicMin, value < old ? value : old)
ATOMIC(atomicOr, old | value) ATOMIC(atomicAnd, old & value) ATOMIC(atomicXor, old ^ value)
ATOMIC(atomicExch, value)
template <class T> static inline T atomicCAS(T *at, T compare, T value) {
    T old = *at; if (old == compare) *at = value; return old;
}

// --- fibers ---
namespace emulation {
enum State { READY, AT_BLOCK, AT_WARP, DONE };
struct Fiber { ucontext_t context; State state; unsigned mask; uint3 index; };
static std::vector<Fiber> fibers;
static std::vector<std::vector<char>> stacks;
static ucontext_t scheduler;
static int now;
static uint64_t slots[64][32];
static int votes[3];
static std::mt19937 order(20261122);
static void (*body)(void *);
static void *given;
const size_t STACK = 1 << 16;

static inline void wait(State state, unsigned mask) {
    Fiber &self = fibers[now];
    self.state = state; self.mask = mask;
    swapcontext(&self.context, &scheduler);
    threadIdx = fibers[now].index;
}
static void begin() { body(given); fibers[now].state = DONE; swapcontext(&fibers[now].context, &scheduler); }

// Let go on whoever's wait is over: a warp's threads of one mask, or the whole block. False: nobody's is.
static bool let_go() {
    bool any = false;
    int count = (int)fibers.size();
    for (int first = 0; first < count; first += 32) {
        int last = std::min(first + 32, count);
        for (int i = first; i < last; i++) {
            if (fibers[i].state != AT_WARP) continue;
            unsigned mask = fibers[i].mask; bool all = true;
            for (int j = first; j < last; j++)
                if (mask >> (j - first) & 1)
                    all = all && (fibers[j].state == DONE || (fibers[j].state == AT_WARP && fibers[j].mask == mask));
            if (!all) continue;
            for (int j = first; j < last; j++)
                if (mask >> (j - first) & 1 && fibers[j].state == AT_WARP) { fibers[j].state = READY; any = true; }
        }
    }
    if (any) return true;
    bool all = true, some = false;
    for (Fiber &f : fibers) { all = all && (f.state == AT_BLOCK || f.state == DONE); some = some || f.state == AT_BLOCK; }
    if (all && some) for (Fiber &f : fibers) if (f.state == AT_BLOCK) f.state = READY;
    return all && some;
}

static void run_block(bool cooperative) {
    unsigned count = blockDim.x * blockDim.y * blockDim.z;
    std::vector<int> turn(count);
    std::iota(turn.begin(), turn.end(), 0);
    memset(slots, 0, sizeof slots);
    auto index = [](unsigned n) { return uint3{n % blockDim.x, n / blockDim.x % blockDim.y, n / blockDim.x / blockDim.y}; };
    if (!cooperative) {
        std::shuffle(turn.begin(), turn.end(), order);
        for (int n : turn) { threadIdx = index(n); body(given); }
        return;
    }
    fibers.assign(count, Fiber());
    while (stacks.size() < count) stacks.emplace_back(STACK);
    for (unsigned n = 0; n < count; n++) {
        Fiber &f = fibers[n];
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = stacks[n].data(); f.context.uc_stack.ss_size = STACK; f.context.uc_link = &scheduler;
        f.state = READY; f.index = index(n);
        makecontext(&f.context, begin, 0);
    }
    votes[0] = 0; votes[1] = 1; votes[2] = 0;
    for (;;) {
        std::shuffle(turn.begin(), turn.end(), order);
        bool ran = false, left = false;
        for (int n : turn) {
            if (fibers[n].state == READY) {
                now = n; threadIdx = fibers[n].index; ran = true;
                swapcontext(&scheduler, &fibers[n].context);
            }
            left = left || fibers[n].state != DONE;
        }
        if (!left) return;
        if (!ran && !let_go()) {
            fprintf(stderr, "the threads of a block wait for each other at different places\n");
            abort();
        }
    }
}

static void launch(void (*kernel)(void *), void *arguments, const unsigned *grid, const unsigned *block, bool cooperative) {
    body = kernel; given = arguments;
    gridDim = dim3(grid[0], grid[1], grid[2]); blockDim = dim3(block[0], block[1], block[2]);
    unsigned count = gridDim.x * gridDim.y * gridDim.z;
    std::vector<unsigned> turn(count);
    std::iota(turn.begin(), turn.end(), 0u);
    std::shuffle(turn.begin(), turn.end(), order);
    for (unsigned n : turn) {
        blockIdx = {n % gridDim.x, n / gridDim.x % gridDim.y, n / gridDim.x / gridDim.y};
        run_block(cooperative);
    }
}
static inline int thread() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }
static inline int lane() { return thread() % 32; }
template <class T> static inline T from_lane(unsigned mask, T value, int source) {
    uint64_t *row = slots[thread() / 32];
    memcpy(&row[lane()], &value, sizeof value);
    wait(AT_WARP, mask);
    T out; memcpy(&out, &row[source & 31], sizeof out);
    wait(AT_WARP, mask);
    return out;
}
}  // namespace emulation

#define FULL 0xffffffffu
static inline void __syncthreads() { emulation::wait(emulation::AT_BLOCK, 0); }
static inline void __syncwarp(unsigned mask = FULL) { emulation::wait(emulation::AT_WARP, mask); }
static inline int __syncthreads_vote(int kind, bool value) {
    int *votes = emulation::votes;
    if (kind == 0) votes[0] = votes[0] || value; else if (kind == 1) votes[1] = votes[1] && value; else votes[2] += value;
    __syncthreads();
    int out = votes[kind];
    __syncthreads();
    votes[kind] = kind == 1;
    __syncthreads();
    return out;
}
static inline int __syncthreads_or(int v) { return __syncthreads_vote(0, v); }
static inline int __syncthreads_and(int v) { return __syncthreads_vote(1, v); }
static inline int __syncthreads_count(int v) { return __syncthreads_vote(2, v); }
template <class T> static inline T __shfl_sync(unsigned mask, T v, int source, int width = 32) {
    int lane = emulation::lane(), first = lane / width * width;
    return emulation::from_lane(mask, v, first + (source & (width - 1)));
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int other, int width = 32) {
    int lane = emulation::lane(), source = lane ^ other;
    return emulation::from_lane(mask, v, source / width == lane / width ? source : lane);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32) {
    int lane = emulation::lane(), source = lane + (int)by;
    return emulation::from_lane(mask, v, source < lane / width * width + width ? source : lane);
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32) {
    int lane = emulation::lane(), source = lane - (int)by;
    return emulation::from_lane(mask, v, source >= lane / width * width ? source : lane);
}
static inline unsigned __ballot_sync(unsigned mask, int value) {
    unsigned out = 0;
    uint64_t *row = emulation::slots[emulation::thread() / 32];
    row[emulation::lane()] = value != 0;
    __syncwarp(mask);
    for (int i = 0; i < 32; i++) if (mask >> i & 1) out |= (unsigned)(row[i] != 0) << i;
    __syncwarp(mask);
    return out;
}
static inline int __any_sync(unsigned mask, int value) { return __ballot_sync(mask, value) != 0; }
static inline int __all_sync(unsigned mask, int value) { return __ballot_sync(mask, value) == mask; }
static inline unsigned __activemask() { return FULL; }
