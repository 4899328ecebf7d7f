/* The shift of shift.py on the CPU: copies of bytes, optionally followed by batch norm and ReLU.
 *
 * Plain C11 without headers of Python or torch; loaded through ctypes. The channels of a group move
 * by the same offset and are neighbours. In NCHW order a group of planes is therefore one copy, and
 * the borders, to which it brings pixels of a wrong row, are set to zero behind it. In NHWC order
 * an output pixel is put together from a piece of each pixel around it, pixel after pixel, so that
 * what is written is one stream. A large tensor waits for memory, not for the processor: both sides
 * are fetched ahead.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) /* clang too */
#define INLINE static inline __attribute__((always_inline))
#define FETCH(address, to_write) __builtin_prefetch(address, to_write, 2) /* into the L2 cache */
#else
#define INLINE static inline
#define FETCH(address, to_write) ((void)0)
#endif
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

#define FAR_BYTES 262144 /* of an input: above this, memory is fetched ahead */
#define AHEAD_BYTES 4096 /* of the output: how far ahead */

typedef struct { /* `_Call` in shift.py */
    const char *input; /* (images, channels, height, width), or channels last */
    char *output;      /* (images, channels, ceil(height/stride), ceil(width/stride)), likewise */
    int64_t images, channels, height, width, kernel, stride, item_bytes, channels_last;
    int64_t opposite; /* whether offsets change sign: the gradient of a shift with stride 1 */
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* torch's GOMP_parallel */
    int64_t threads; /* at most; OpenMP may grant fewer */
    const float *gamma, *beta, *mean, *variance; /* of the norm; gamma NULL: no norm, no ReLU */
    double epsilon;
} Call;

typedef struct {
    int64_t first, count; /* channels */
    int64_t dy, dx;       /* where they read */
    int64_t top, bottom, left, right; /* output rows and columns whose source lies in the map */
    int64_t offset; /* bytes from a pixel to the piece that the group reads for it, NHWC */
} Group;

typedef struct {
    Call call;
    int64_t height_out, width_out, groups;
    int64_t moving;     /* of the groups, the first ones, all of one size: without the rest */
    int64_t begin, end; /* output columns whose sources all lie in the map */
    int64_t far;        /* whether the input is too large to be in the cache */
    int64_t taken;      /* shares of the work, 0 at the start */
    Group *group;
    float *scale, *bias;
} Shift;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t over(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : 0; }

/* Copy `count` pieces of `bytes`, each a step behind the last. Two moves that overlap cover any
 * length between one and two moves, so that a short piece needs neither a call nor a loop. */
INLINE void copy_pieces(char *to, const char *from, int64_t bytes, int64_t count, int64_t to_step,
                        int64_t from_step) {
#define MOVE(SIZE, TO, FROM)                                                             \
    for (int64_t i = 0; i + SIZE < bytes; i += SIZE) memcpy((TO) + i, (FROM) + i, SIZE); \
    memcpy((TO) + bytes - SIZE, (FROM) + bytes - SIZE, SIZE);
#define PIECES(SIZE)                                                   \
    if (bytes >= SIZE) {                                               \
        for (; count > 0; count--, to += to_step, from += from_step) { \
            MOVE(SIZE, to, from)                                       \
        }                                                              \
        return;                                                        \
    }
    PIECES(64) PIECES(32) PIECES(16) PIECES(8) PIECES(4) PIECES(2) PIECES(1)
}

INLINE void zero_pieces(char *to, int64_t bytes, int64_t count, int64_t step) {
    static const char zeros[256];
    if (bytes <= (int64_t)sizeof zeros) copy_pieces(to, zeros, bytes, count, step, 0);
    else for (; count > 0; count--, to += step) memset(to, 0, (size_t)bytes);
}

/* One group of planes of one image, NCHW. */
FOR_EACH_CPU
static void shift_planes(const Shift *s, int64_t image, const Group *g) {
    const Call *c = &s->call;
    const int64_t item = c->item_bytes, row = s->width_out * item, plane = s->height_out * row;
    const int64_t row_in = c->width * item, plane_in = c->height * row_in;
    const char *from = c->input + (image * c->channels + g->first) * plane_in;
    char *to = c->output + (image * c->channels + g->first) * plane;
    const int64_t offset = g->dy * row_in + g->dx * item, size = g->count * plane_in;
    if (g->top == g->bottom || g->left == g->right) {
        memset(to, 0, (size_t)(g->count * plane));
    } else if (c->stride == 1) {
        const int64_t begin = most(0, -offset), end = least(size, size - offset);
        copy_pieces(to + begin, from + begin + offset, end - begin, 1, 0, 0);
    } else {
        for (int64_t i = 0; i < g->count; i++)
            for (int64_t y = g->top; y < g->bottom; y++)
                copy_pieces(to + i * plane + y * row + g->left * item,
                            from + i * plane_in + y * c->stride * row_in
                                + g->left * c->stride * item + offset,
                            item, g->right - g->left, item, c->stride * item);
    }
    zero_pieces(to, g->top * row, g->count, plane);
    zero_pieces(to + g->bottom * row, (s->height_out - g->bottom) * row, g->count, plane);
    zero_pieces(to, g->left * item, g->count * s->height_out, row);
    zero_pieces(to + g->right * item, (s->width_out - g->right) * item,
                g->count * s->height_out, row);
    for (int64_t i = 0; c->gamma && i < g->count; i++) {
        float *values = (float *)(to + i * plane);
        const float scale = s->scale[g->first + i], bias = s->bias[g->first + i];
        for (int64_t p = 0; p < s->height_out * s->width_out; p++) {
            const float value = values[p] * scale + bias;
            values[p] = 0 > value ? 0 : value; /* like torch.relu, this keeps NaN */
        }
    }
}

/* The columns [s->begin, s->end) of a row, NHWC, pixel by pixel, for groups of one size that all
 * read in the map there. `to` is the first pixel of the row, `from` the one that it lies on. */
INLINE void gather_pixels(const Shift *s, const Group *groups, const Group *groups_end, char *to,
                          const char *from) {
    const Call *c = &s->call;
    const int64_t pixel = c->channels * c->item_bytes, step = c->stride * pixel;
    const int64_t bytes = groups->count * c->item_bytes;
    const int64_t next_row = (c->kernel / 2 + 1) * c->width * pixel; /* as yet read by no row */
    from += s->begin * step;
    to += s->begin * pixel;
#define PIXELS(SIZE)                                                                          \
    if (bytes >= SIZE) {                                                                      \
        for (int64_t x = s->begin; x < s->end; x++, to += pixel, from += step) {              \
            for (int64_t i = 0; s->far && i < step; i += 64) FETCH(from + next_row + i, 0);   \
            for (int64_t i = 0; s->far && i < pixel; i += 64) FETCH(to + AHEAD_BYTES + i, 1); \
            char *piece = to + groups->first * c->item_bytes;                                 \
            for (const Group *g = groups; g < groups_end; g++, piece += bytes) {              \
                MOVE(SIZE, piece, from + g->offset)                                           \
            }                                                                                 \
        }                                                                                     \
        return;                                                                               \
    }
    PIXELS(64) PIXELS(32) PIXELS(16) PIXELS(8) PIXELS(4) PIXELS(2) PIXELS(1)
}

/* One row of one image, NHWC. */
FOR_EACH_CPU
static void shift_row(const Shift *s, int64_t image, int64_t row) {
    const Call *c = &s->call;
    const int64_t item = c->item_bytes, pixel = c->channels * item, step = c->stride * pixel;
    const char *from = c->input + (image * c->height + row * c->stride) * c->width * pixel;
    char *to = c->output + (image * s->height_out + row) * s->width_out * pixel;
    const Group *inside = s->group, *end = s->group + s->moving; /* ordered by dy */
    while (inside < end && (row < inside->top || row >= inside->bottom)) inside++;
    while (inside < end && (row < end[-1].top || row >= end[-1].bottom)) end--;
    if (inside < end) gather_pixels(s, inside, end, to, from);
    for (const Group *g = s->group; g < s->group + s->groups; g++) {
        const int reads = row >= g->top && row < g->bottom, gathered = g >= inside && g < end;
        const int64_t left = reads ? g->left : 0, right = reads ? g->right : 0;
        const int64_t begin = gathered ? s->begin : right, after = gathered ? s->end : right;
        const int64_t first = g->first * item, bytes = g->count * item;
        zero_pieces(to + first, bytes, left, pixel);
        copy_pieces(to + left * pixel + first, from + left * step + g->offset, bytes, begin - left,
                    pixel, step);
        copy_pieces(to + after * pixel + first, from + after * step + g->offset, bytes,
                    right - after, pixel, step);
        zero_pieces(to + right * pixel + first, bytes, s->width_out - right, pixel);
    }
    float *values = (float *)to;
    for (int64_t x = 0; c->gamma && x < s->width_out; x++, values += c->channels)
        for (int64_t i = 0; i < c->channels; i++) {
            const float value = values[i] * s->scale[i] + s->bias[i];
            values[i] = 0 > value ? 0 : value;
        }
}

/* Shares of the work, one for each thread asked for, are taken in turn by as many threads as there
 * happen to be. */
static void run_thread(void *shift) {
    Shift *s = shift;
    const int64_t per_image = s->call.channels_last ? s->height_out : s->groups;
    const int64_t tasks = s->call.images * per_image;
    for (;;) {
#if defined(__GNUC__)
        const int64_t share = __atomic_fetch_add(&s->taken, 1, __ATOMIC_RELAXED);
#else
        const int64_t share = s->taken++;
#endif
        if (share >= s->call.threads) return;
        const int64_t end = tasks * (share + 1) / s->call.threads;
        for (int64_t task = tasks * share / s->call.threads; task < end; task++) {
            const int64_t image = task / per_image, i = task % per_image;
            if (s->call.channels_last) shift_row(s, image, i);
            else shift_planes(s, image, s->group + i);
        }
    }
}

/* Output positions whose source, position * stride + offset, lies in [0, size). */
static void valid(int64_t size, int64_t stride, int64_t offset, int64_t *begin, int64_t *end) {
    *end = least(over(size, stride), over(size - offset, stride));
    *begin = least(over(-offset, stride), *end);
}

static void list_groups(Shift *s) {
    const Call *c = &s->call;
    const int64_t directions = c->kernel * c->kernel, size = c->channels / directions;
    s->end = s->width_out;
    for (int64_t d = 0; d <= directions; d++) { /* the last one: the rest, which does not move */
        const int64_t count = d < directions ? size : c->channels % directions;
        if (count == 0) continue;
        Group *g = s->group + s->groups++;
        *g = (Group){.first = d * size, .count = count};
        if (d < directions) {
            s->moving++;
            g->dy = d / c->kernel - c->kernel / 2;
            g->dx = d % c->kernel - c->kernel / 2;
            if (c->opposite) g->dy = -g->dy, g->dx = -g->dx;
        }
        g->offset = ((g->dy * c->width + g->dx) * c->channels + g->first) * c->item_bytes;
        valid(c->height, c->stride, g->dy, &g->top, &g->bottom);
        valid(c->width, c->stride, g->dx, &g->left, &g->right);
        s->begin = most(s->begin, g->left);
        s->end = least(s->end, g->right);
    }
    if (s->begin >= s->end) s->moving = 0; /* a narrow map: no column to gather */
}

/* Returns 0, or 1 where memory is short. */
int lightfer_shift(const Call *call) {
    const int64_t channels = call->channels, directions = call->kernel * call->kernel;
    const int64_t pixels = call->images * call->height * call->width;
    Shift s = {
        .call = *call,
        .height_out = over(call->height, call->stride),
        .width_out = over(call->width, call->stride),
        .far = pixels * channels * call->item_bytes > FAR_BYTES,
        .group = malloc((size_t)(directions + 1) * sizeof(Group)),
        .scale = malloc((size_t)(2 * channels) * sizeof(float) + 1),
    };
    if (s.group && s.scale) {
        list_groups(&s);
        s.bias = s.scale + channels;
        for (int64_t i = 0; call->gamma && i < channels; i++) {
            s.scale[i] = call->gamma[i] / sqrtf(call->variance[i] + (float)call->epsilon);
            s.bias[i] = call->beta[i] - call->mean[i] * s.scale[i];
        }
        if (!call->parallel || call->threads < 1) s.call.threads = 1;
        if (s.call.threads > 1) call->parallel(run_thread, &s, (unsigned)s.call.threads, 0);
        else run_thread(&s);
    }
    const int failed = !s.group || !s.scale;
    free(s.group);
    free(s.scale);
    return failed;
}
