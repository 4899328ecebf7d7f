/* The shift of shift.py on the CPU: copies of bytes, optionally followed by batch norm and ReLU.
 *
 * Plain C11 without headers of Python or torch; loaded through ctypes. Channels that move by the
 * same offset are neighbours, so an image is a few block copies: in NCHW order one copy for all the
 * planes of a group, in NHWC order one copy per pixel and group. What a copy brings from the wrong
 * row or plane, and what lies outside the map, is set to zero afterwards.
 */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

typedef struct {
    const char *input; /* (images, channels, height, width), or channels last */
    char *output;      /* (images, channels, ceil(height/stride), ceil(width/stride)), likewise */
    int64_t images, channels, height, width, kernel, stride, item_bytes, channels_last;
    /* GOMP_parallel and omp_get_thread_num of the OpenMP library that torch has loaded, or NULL. */
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned);
    int (*thread)(void);
    int64_t threads;
    const float *gamma, *beta, *mean, *variance; /* of the batch norm; gamma NULL: no norm, no ReLU */
    float *scale_bias;                           /* room for 2 * channels numbers */
    double epsilon;
} Shift;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t over(int64_t a, int64_t b) { return (a + b - 1) / b; } /* rounded up, a >= 0 */

/* Output positions [*begin, *end) of a line whose source, position * stride + offset, lies in the
 * line of `size`. */
static void valid(int64_t size, int64_t stride, int64_t offset, int64_t *begin, int64_t *end) {
    *begin = offset < 0 ? over(-offset, stride) : 0;
    *end = least(over(size, stride), over(most(size - offset, 0), stride));
    *begin = least(*begin, *end);
}

/* Copy `count` blocks of `bytes`, each a step from the last. Two moves that overlap cover any
 * length between one and two moves, so short blocks need no call and no loop. */
static inline void copy_blocks(char *to, const char *from, int64_t bytes, int64_t count,
                               int64_t to_step, int64_t from_step) {
#define PAIR(SIZE)                                                                      \
    for (; count > 0; count--, to += to_step, from += from_step) {                      \
        for (int64_t i = 0; i + SIZE <= bytes; i += SIZE) memcpy(to + i, from + i, SIZE); \
        memcpy(to + bytes - SIZE, from + bytes - SIZE, SIZE);                           \
    }
    if (bytes >= 64) {
        PAIR(64)
    } else if (bytes >= 32) {
        PAIR(32)
    } else if (bytes >= 16) {
        PAIR(16)
    } else if (bytes >= 8) {
        PAIR(8)
    } else if (bytes >= 4) {
        PAIR(4)
    } else if (bytes >= 2) {
        PAIR(2)
    } else if (bytes == 1) {
        PAIR(1)
    }
#undef PAIR
}

static inline void zero_blocks(char *to, int64_t bytes, int64_t count, int64_t step) {
    for (; count > 0; count--, to += step) memset(to, 0, (size_t)bytes);
}

/* One row of an image, channels last: (width, channels) -> (ceil(width/stride), channels). */
FOR_EACH_CPU
static void shift_row(const Shift *s, int64_t row) {
    const int64_t width_out = over(s->width, s->stride), height_out = over(s->height, s->stride);
    const int64_t pixel = s->channels * s->item_bytes, directions = s->kernel * s->kernel;
    const int64_t group = s->channels / directions, rest = s->channels % directions;
    const int64_t image = row / height_out, line = row % height_out * s->stride;
    char *out = s->output + row * width_out * pixel;
    for (int64_t d = 0; d <= directions; d++) { /* the last one: the rest, which does not move */
        const int64_t dy = d < directions ? d / s->kernel - s->kernel / 2 : 0;
        const int64_t dx = d < directions ? d % s->kernel - s->kernel / 2 : 0;
        const int64_t bytes = (d < directions ? group : rest) * s->item_bytes;
        char *to = out + d * group * s->item_bytes;
        const int64_t y = line + dy;
        int64_t begin = 0, end = 0;
        if (bytes == 0) continue;
        if (y >= 0 && y < s->height) valid(s->width, s->stride, dx, &begin, &end);
        zero_blocks(to, bytes, begin, pixel);
        copy_blocks(to + begin * pixel,
                    s->input + ((image * s->height + y) * s->width + begin * s->stride + dx) * pixel
                        + d * group * s->item_bytes,
                    bytes, end - begin, pixel, s->stride * pixel);
        zero_blocks(to + end * pixel, bytes, width_out - end, pixel);
    }
    if (s->gamma) {
        float *values = (float *)out;
        const float *scale = s->scale_bias, *bias = scale + s->channels;
        for (int64_t x = 0; x < width_out; x++, values += s->channels)
            for (int64_t c = 0; c < s->channels; c++) {
                const float value = values[c] * scale[c] + bias[c];
                values[c] = 0 > value ? 0 : value; /* like relu, keeps NaN */
            }
    }
}

/* One plane: (height, width) -> (ceil(height/stride), ceil(width/stride)). */
FOR_EACH_CPU
static void shift_plane(const Shift *s, int64_t plane) {
    const int64_t width_out = over(s->width, s->stride), height_out = over(s->height, s->stride);
    const int64_t directions = s->kernel * s->kernel, group = s->channels / directions;
    const int64_t channel = plane % s->channels, item = s->item_bytes;
    const int64_t d = channel < group * directions ? channel / group : directions / 2;
    const int64_t dy = d / s->kernel - s->kernel / 2, dx = d % s->kernel - s->kernel / 2;
    const char *from = s->input + plane * s->height * s->width * item;
    char *to = s->output + plane * height_out * width_out * item;
    int64_t top, bottom, left, right;
    valid(s->height, s->stride, dy, &top, &bottom);
    valid(s->width, s->stride, dx, &left, &right);
    if (left == right) top = bottom = 0;
    memset(to, 0, (size_t)(top * width_out * item));
    if (s->stride == 1 && top < bottom) {
        /* One copy from the first to the last source pixel; at row ends it brings too much. */
        const int64_t first = (top + dy) * s->width + left + dx;
        const int64_t last = (bottom - 1 + dy) * s->width + right + dx;
        memcpy(to + (top * width_out + left) * item, from + first * item,
               (size_t)((last - first) * item));
    } else {
        for (int64_t y = top; y < bottom; y++) {
            const int64_t source = (y * s->stride + dy) * s->width + left * s->stride + dx;
            copy_blocks(to + (y * width_out + left) * item, from + source * item, item,
                        right - left, item, s->stride * item);
        }
    }
    for (int64_t y = top; y < bottom; y++) {
        zero_blocks(to + y * width_out * item, item, left, item);
        zero_blocks(to + (y * width_out + right) * item, item, width_out - right, item);
    }
    memset(to + bottom * width_out * item, 0, (size_t)((height_out - bottom) * width_out * item));
    if (s->gamma) {
        float *values = (float *)to;
        const float scale = s->scale_bias[channel], bias = s->scale_bias[s->channels + channel];
        for (int64_t i = 0; i < height_out * width_out; i++) {
            const float value = values[i] * scale + bias;
            values[i] = 0 > value ? 0 : value;
        }
    }
}

static void share_of_thread(void *shift) {
    const Shift *s = shift;
    const int64_t height_out = over(s->height, s->stride);
    const int64_t tasks = s->images * (s->channels_last ? height_out : s->channels);
    const int64_t thread = s->thread ? s->thread() : 0;
    const int64_t end = tasks * (thread + 1) / s->threads;
    for (int64_t task = tasks * thread / s->threads; task < end; task++) {
        if (s->channels_last) shift_row(s, task);
        else shift_plane(s, task);
    }
}

void lightfer_shift(Shift *s) {
    if (s->gamma) {
        for (int64_t c = 0; c < s->channels; c++) {
            const float scale = s->gamma[c] / sqrtf(s->variance[c] + (float)s->epsilon);
            s->scale_bias[c] = scale;
            s->scale_bias[s->channels + c] = s->beta[c] - s->mean[c] * scale;
        }
    }
    if (s->threads > 1 && s->parallel && s->thread) {
        s->parallel(share_of_thread, s, (unsigned)s->threads, 0);
    } else {
        s->threads = 1;
        s->thread = NULL;
        share_of_thread(s);
    }
}
