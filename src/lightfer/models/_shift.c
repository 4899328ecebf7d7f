/* The shift of shift.py on the CPU: copies of bytes, optionally followed by batch norm and ReLU.
 *
 * Plain C11 without headers of Python or torch; loaded through ctypes. The channels of a group move
 * by the same offset and are neighbours. In NCHW order a group of planes is therefore one copy, and
 * the borders, to which it brings pixels of a wrong row, are set to zero behind it. In NHWC order an
 * output pixel is put together from one piece of each pixel around it.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) /* clang too */
#define INLINE static inline __attribute__((always_inline))
#define BLOCK 64 /* bytes; compilers split it where registers are shorter */
typedef int64_t Block __attribute__((vector_size(BLOCK), aligned(1), may_alias));
#else
#define INLINE static inline
#endif
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

typedef struct { /* `_Call` in shift.py */
    const char *input; /* (images, channels, height, width), or channels last */
    char *output;      /* (images, channels, ceil(height/stride), ceil(width/stride)), likewise */
    int64_t images, channels, height, width, kernel, stride, item_bytes, channels_last;
    /* GOMP_parallel and omp_get_thread_num of the OpenMP library that torch has loaded, or NULL. */
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned);
    int (*thread)(void);
    int64_t threads;
    const float *gamma, *beta, *mean, *variance; /* of the batch norm; gamma NULL: no norm, no ReLU */
    double epsilon;
} Call;

typedef struct {
    int64_t first, count; /* channels */
    int64_t dy, dx;       /* where they read */
    int64_t top, bottom, left, right; /* output rows and columns whose source lies in the map */
} Group;

typedef struct { /* the bytes of one group in one block of an NHWC pixel */
    const Group *group;
    int64_t start;  /* of the block in the pixel */
    int64_t offset; /* of its source from the pixel that does not move */
    unsigned char mask[64];
} Part;

typedef struct {
    Call call;
    int64_t height_out, width_out, groups, parts;
    Group *group;
    Part *part;
    float *scale, *bias;
} Shift;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t over(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : 0; }

/* Copy `count` pieces of `bytes`, each a step behind the last. Two moves that overlap cover any
 * length between one and two moves, so that a short piece needs neither a call nor a loop. */
INLINE void copy_pieces(char *to, const char *from, int64_t bytes, int64_t count, int64_t to_step,
                        int64_t from_step) {
#define MOVES(SIZE)                                                                          \
    if (bytes >= SIZE) {                                                                     \
        for (; count > 0; count--, to += to_step, from += from_step) {                       \
            for (int64_t i = 0; i + SIZE < bytes; i += SIZE) memcpy(to + i, from + i, SIZE); \
            memcpy(to + bytes - SIZE, from + bytes - SIZE, SIZE);                            \
        }                                                                                    \
        return;                                                                              \
    }
    MOVES(64) MOVES(32) MOVES(16) MOVES(8) MOVES(4) MOVES(2) MOVES(1)
#undef MOVES
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

/* A row, NHWC, piece by piece: for narrow pixels, and at both ends of the tensor. */
INLINE void shift_pieces(const Shift *s, int64_t image, int64_t row) {
    const Call *c = &s->call;
    const int64_t item = c->item_bytes, pixel = c->channels * item;
    for (const Group *g = s->group; g < s->group + s->groups; g++) {
        const int inside = row >= g->top && row < g->bottom;
        const int64_t left = inside ? g->left : 0, right = inside ? g->right : 0;
        const int64_t y = row * c->stride + g->dy, x = left * c->stride + g->dx;
        const char *from = c->input + ((image * c->height + y) * c->width + x) * pixel;
        char *to = c->output + (image * s->height_out + row) * s->width_out * pixel;
        const int64_t first = g->first * item, bytes = g->count * item;
        zero_pieces(to + first, bytes, left, pixel);
        copy_pieces(to + left * pixel + first, from + first, bytes, right - left, pixel,
                    c->stride * pixel);
        zero_pieces(to + right * pixel + first, bytes, s->width_out - right, pixel);
    }
}

#ifdef BLOCK
/* Output columns [begin, end) of a row, NHWC: block by block, each the sum of the groups in it under
 * their masks. Columns whose sources lie beyond the row get pixels of the next rows. */
INLINE void blend_columns(const Shift *s, int64_t image, int64_t row, int64_t begin, int64_t end) {
    const Call *c = &s->call;
    const int64_t pixel = c->channels * c->item_bytes, step = c->stride * pixel;
    const int64_t line = image * c->height + row * c->stride;
    const char *still = c->input + (line * c->width + begin * c->stride) * pixel;
    char *out = c->output + ((image * s->height_out + row) * s->width_out + begin) * pixel;
    const char *from[BLOCK];
    const Block *mask[BLOCK];
    for (const Part *p = s->part, *last = s->part + s->parts; p < last;) {
        const int64_t start = p->start;
        int n = 0;
        for (; p < last && p->start == start; p++)
            if (row >= p->group->top && row < p->group->bottom) {
                from[n] = still + p->offset;
                mask[n++] = (const Block *)p->mask;
            }
        char *to = out + start;
#define BLEND(SLOTS, N)                                                             \
    {                                                                               \
        Block kept[SLOTS];                                                          \
        for (int i = 0; i < N; i++) kept[i] = *mask[i];                             \
        for (int64_t x = 0; x < (end - begin) * step; x += step, to += pixel) {     \
            Block sum = {0};                                                        \
            for (int i = 0; i < N; i++) sum |= *(const Block *)(from[i] + x) & kept[i]; \
            *(Block *)to = sum;                                                     \
        }                                                                           \
    }
        switch (n) {
            case 1: BLEND(1, 1) break;
            case 2: BLEND(2, 2) break;
            case 3: BLEND(3, 3) break;
            case 4: BLEND(4, 4) break;
            default: BLEND(BLOCK, n)
        }
#undef BLEND
    }
}

/* A whole row that way, borders set to zero behind it. The row of the input that the next call is
 * the first to read is fetched ahead: the order of the blocks hides it from the processor. */
INLINE void blend_row(const Shift *s, int64_t image, int64_t row) {
    const Call *c = &s->call;
    const int64_t item = c->item_bytes, pixel = c->channels * item;
    const int64_t ahead = image * c->height + row * c->stride + c->kernel / 2 + 1;
    for (int64_t i = 0; i < c->width * pixel; i += BLOCK)
        __builtin_prefetch(c->input + ahead * c->width * pixel + i);
    blend_columns(s, image, row, 0, s->width_out);
    for (const Group *g = s->group; g < s->group + s->groups; g++) {
        char *to = c->output + (image * s->height_out + row) * s->width_out * pixel
                   + g->first * item;
        zero_pieces(to, g->count * item, g->left, pixel);
        zero_pieces(to + g->right * pixel, g->count * item, s->width_out - g->right, pixel);
    }
}
#endif

/* One row of one image, NHWC. */
FOR_EACH_CPU
static void shift_row(const Shift *s, int64_t image, int64_t row) {
    const Call *c = &s->call;
    const int64_t line = image * c->height + row * c->stride, half = c->kernel / 2;
#ifdef BLOCK
    /* Beyond the rows in reach there must be another one for the columns that read beyond. */
    if (s->parts && line > half && line + half + 1 < c->images * c->height && c->width >= half)
        blend_row(s, image, row);
    else
#endif
        shift_pieces(s, image, row);
    if (c->gamma) {
        const int64_t pixels = (image * s->height_out + row) * s->width_out;
        float *values = (float *)c->output + pixels * c->channels;
        for (int64_t x = 0; x < s->width_out; x++, values += c->channels)
            for (int64_t i = 0; i < c->channels; i++) {
                const float value = values[i] * s->scale[i] + s->bias[i];
                values[i] = 0 > value ? 0 : value;
            }
    }
}

static void share_of_thread(void *shift) {
    const Shift *s = shift;
    const int64_t per_image = s->call.channels_last ? s->height_out : s->groups;
    const int64_t tasks = s->call.images * per_image;
    const int64_t thread = s->call.threads > 1 ? s->call.thread() : 0;
    const int64_t end = tasks * (thread + 1) / s->call.threads;
    for (int64_t task = tasks * thread / s->call.threads; task < end; task++) {
        const int64_t image = task / per_image, i = task % per_image;
        if (s->call.channels_last) shift_row(s, image, i);
        else shift_planes(s, image, s->group + i);
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
    for (int64_t d = 0; d <= directions; d++) { /* the last one: the rest, which does not move */
        const int64_t count = d < directions ? size : c->channels % directions;
        if (count == 0) continue;
        Group *g = s->group + s->groups++;
        *g = (Group){.first = d * size, .count = count};
        if (d < directions) {
            g->dy = d / c->kernel - c->kernel / 2;
            g->dx = d % c->kernel - c->kernel / 2;
        }
        valid(c->height, c->stride, g->dy, &g->top, &g->bottom);
        valid(c->width, c->stride, g->dx, &g->left, &g->right);
    }
}

static void list_parts(Shift *s) {
#ifdef BLOCK
    const int64_t item = s->call.item_bytes, pixel = s->call.channels * item;
    for (int64_t block = 0; block < pixel; block += BLOCK) {
        const int64_t start = least(block, pixel - BLOCK); /* the last block may overlap */
        for (const Group *g = s->group; g < s->group + s->groups; g++) {
            const int64_t begin = most(start, g->first * item);
            const int64_t end = least(start + BLOCK, (g->first + g->count) * item);
            if (begin >= end) continue;
            Part *p = s->part + s->parts++;
            p->group = g;
            p->start = start;
            p->offset = (g->dy * s->call.width + g->dx) * pixel + start;
            memset(p->mask, 0, sizeof p->mask);
            memset(p->mask + begin - start, 0xff, (size_t)(end - begin));
        }
    }
#endif
}

/* Returns 0, or 1 where memory is short. */
int lightfer_shift(const Call *call) {
    const int64_t channels = call->channels, directions = call->kernel * call->kernel;
    const int64_t pixel = channels * call->item_bytes;
    Shift s = {
        .call = *call,
        .height_out = over(call->height, call->stride),
        .width_out = over(call->width, call->stride),
        .group = malloc((size_t)(directions + 1) * sizeof(Group)),
        .part = malloc((size_t)(2 * (pixel / 64 + 1) + 2 * directions + 2) * sizeof(Part)),
        .scale = malloc((size_t)(2 * channels) * sizeof(float) + 1),
    };
    if (s.group && s.part && s.scale) {
        list_groups(&s);
        if (call->channels_last && pixel >= 64) list_parts(&s);
        s.bias = s.scale + channels;
        for (int64_t i = 0; call->gamma && i < channels; i++) {
            s.scale[i] = call->gamma[i] / sqrtf(call->variance[i] + (float)call->epsilon);
            s.bias[i] = call->beta[i] - call->mean[i] * s.scale[i];
        }
        if (!call->parallel || !call->thread || call->threads < 1) s.call.threads = 1;
        if (s.call.threads > 1) call->parallel(share_of_thread, &s, (unsigned)s.call.threads, 0);
        else share_of_thread(&s);
    }
    const int failed = !s.group || !s.part || !s.scale;
    free(s.group);
    free(s.part);
    free(s.scale);
    return failed;
}
