// Runs CUDA C++ on the CPU for tests: block by block, with the threads of a block as coroutines that switch at
// __syncthreads(). Odd blocks run their threads in reverse order, to reveal results that depend on the order.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __shared__ static
#define __launch_bounds__(...)

struct Dim {
    unsigned int x, y, z;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline float half_to_float(unsigned short bits) {
    _Float16 value;
    std::memcpy(&value, &bits, 2);
    return (float)value;
}
static inline unsigned short float_to_half(float value) {
    const _Float16 rounded = (_Float16)value;
    unsigned short bits;
    std::memcpy(&bits, &rounded, 2);
    return bits;
}

static inline unsigned int __float_as_uint(float value) {
    unsigned int bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
static inline float __uint_as_float(unsigned int bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

struct Thread {
    ucontext_t context;  // starts the thread; later switches use `jump`, which needs no system calls
    jmp_buf jump;
    std::vector<char> stack = std::vector<char>(64 << 10);
    Dim index;
    enum { READY, WAITS, DONE } state;
};
static std::vector<Thread> threads;
static jmp_buf scheduler;
static Thread* self;
static std::function<void()> body;

static void run_thread() {
    body();
    self->state = Thread::DONE;
    _longjmp(scheduler, 1);
}

// Returns when the thread waits or is done
[[gnu::noinline]] static void resume(Thread& thread) {
    if (_setjmp(scheduler)) return;
    if (thread.state == Thread::READY) setcontext(&thread.context);
    _longjmp(thread.jump, 1);
}

[[maybe_unused]] static void __syncthreads() {
    self->state = Thread::WAITS;
    if (!_setjmp(self->jump)) _longjmp(scheduler, 1);
    threadIdx = self->index;
}

// As in pixel.cuh; all threads of the block must call it together
[[maybe_unused]] static float warp_sum(float value) {
    static float values[1024];
    const unsigned int at = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    values[at] = value;
    __syncthreads();
    float sums[32];
    std::memcpy(sums, values + at / 32 * 32, sizeof(sums));
    for (int lanes = 16; lanes > 0; lanes /= 2)
        for (int i = 0; i < lanes; ++i) sums[i] += sums[i + lanes];
    __syncthreads();
    return sums[0];
}

// Whether all threads of the block reach every barrier, or the end, together
static bool run_block(bool backwards) {
    const size_t count = (size_t)blockDim.x * blockDim.y * blockDim.z;
    if (threads.size() < count) threads = std::vector<Thread>(count);
    for (size_t i = 0; i < count; ++i) {
        Thread& thread = threads[i];
        thread.index = {(unsigned)(i % blockDim.x), (unsigned)(i / blockDim.x % blockDim.y),
                        (unsigned)(i / blockDim.x / blockDim.y)};
        thread.state = Thread::READY;
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.data();
        thread.context.uc_stack.ss_size = thread.stack.size();
        thread.context.uc_link = nullptr;
        makecontext(&thread.context, run_thread, 0);
    }
    for (size_t done = 0; done < count;) {
        size_t waiting = 0;
        done = 0;
        for (size_t i = 0; i < count; ++i) {
            self = &threads[backwards ? count - 1 - i : i];
            if (self->state != Thread::DONE) {
                threadIdx = self->index;
                resume(*self);
            }
            done += self->state == Thread::DONE;
            waiting += self->state == Thread::WAITS;
        }
        if (done && waiting) return false;
    }
    return true;
}

template <typename... A, size_t... I>
static void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<A>*>(arguments[I])...);
}

// 0; or -1 if the number or sizes of the arguments do not match the kernel; or -2 if threads diverge at a barrier
template <typename... A>
static int launch(void (*kernel)(A...), const int* grid, const int* block, int count, const int* sizes,
                  void** arguments) {
    const size_t expected[] = {sizeof(A)...};
    if (count != (int)sizeof...(A)) return -1;
    for (int i = 0; i < count; ++i)
        if ((size_t)sizes[i] != expected[i]) return -1;
    gridDim = {(unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2]};
    blockDim = {(unsigned)block[0], (unsigned)block[1], (unsigned)block[2]};
    body = [=] { call(kernel, arguments, std::index_sequence_for<A...>()); };
    for (unsigned z = 0, number = 0; z < gridDim.z; ++z)
        for (unsigned y = 0; y < gridDim.y; ++y)
            for (unsigned x = 0; x < gridDim.x; ++x, ++number) {
                blockIdx = {x, y, z};
                if (!run_block(number % 2)) return -2;
            }
    return 0;
}
