/* The gradient of a depthwise convolution's weights on the CPU, channels last, float32.
 *
 * Plain C11 without headers of Python or torch; loaded through ctypes by depthwise.py. Every sum is
 * made by one thread in one order, so the result does not depend on the number of threads.
 */

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) /* clang too */
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

enum { WIDTH = 16, LARGEST_KERNEL = 7 }; /* channels that are summed together */

typedef struct { /* `_Call` in depthwise.py */
    const float *input;    /* (images, height, width, channels) */
    const float *gradient; /* (images, height_out, width_out, channels) */
    float *result;         /* (channels, kernel, kernel) */
    int64_t images, channels, height, width, height_out, width_out, kernel, stride, padding;
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* torch's GOMP_parallel */
    int64_t threads;
    int64_t taken; /* blocks of channels, 0 at the start */
} Call;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* `count` neighbouring channels, at most WIDTH, from channel `first` on. */
INLINE void sum_channels(const Call *c, int64_t first, int64_t count) {
    float sums[LARGEST_KERNEL * LARGEST_KERNEL][WIDTH];
    memset(sums, 0, sizeof sums);
    const float *gradient = c->gradient + first;
    for (int64_t n = 0; n < c->images; n++) {
        const float *image = c->input + n * c->height * c->width * c->channels + first;
        for (int64_t row = 0; row < c->height_out; row++) {
            const int64_t y = row * c->stride - c->padding;
            const int64_t top = most(0, -y), bottom = least(c->kernel, c->height - y);
            for (int64_t column = 0; column < c->width_out; column++, gradient += c->channels) {
                const int64_t x = column * c->stride - c->padding;
                const int64_t left = most(0, -x), right = least(c->kernel, c->width - x);
                float g[WIDTH];
                for (int64_t i = 0; i < count; i++) g[i] = gradient[i];
                for (int64_t ky = top; ky < bottom; ky++) {
                    const float *from = image + ((y + ky) * c->width + x + left) * c->channels;
                    float *to = sums[ky * c->kernel + left];
                    for (int64_t kx = left; kx < right; kx++, from += c->channels, to += WIDTH)
                        for (int64_t i = 0; i < count; i++) to[i] += g[i] * from[i];
                }
            }
        }
    }
    const int64_t taps = c->kernel * c->kernel;
    for (int64_t i = 0; i < count; i++)
        for (int64_t tap = 0; tap < taps; tap++) c->result[(first + i) * taps + tap] = sums[tap][i];
}

FOR_EACH_CPU
static void sum_block(const Call *c, int64_t first) {
    if (c->channels - first >= WIDTH) sum_channels(c, first, WIDTH);
    else sum_channels(c, first, c->channels - first);
}

/* Blocks are taken in turn by as many threads as there happen to be. */
static void run_thread(void *call) {
    Call *c = call;
    for (;;) {
#if defined(__GNUC__)
        const int64_t block = __atomic_fetch_add(&c->taken, 1, __ATOMIC_RELAXED);
#else
        const int64_t block = c->taken++;
#endif
        if (block * WIDTH >= c->channels) return;
        sum_block(c, block * WIDTH);
    }
}

#ifdef _WIN32
__declspec(dllexport)
#endif
void lightfer_depthwise_gradient(Call *call) {
    if (call->parallel && call->threads > 1)
        call->parallel(run_thread, call, (unsigned)call->threads, 0);
    else run_thread(call);
}
