/* Depthwise convolutions and batch norm of training on the CPU: channels last, bfloat16 or float32.
 *
 * Plain C without headers of Python or torch; loaded through ctypes by kernels.py. Values are read
 * as bfloat16 or float32, computed in float32 and rounded to nearest even.
 *
 * A block of 32 neighbouring channels is computed together. In bfloat16 it is sixteen words of two
 * channels, and becomes the even and the odd channels by a shift and a mask; whatever goes with
 * channels, weights, statistics and sums, is arranged likewise, block by block. Where the channels
 * are no multiple of 32 the last block begins before the one before it ends, and what lies in both
 * is computed twice, with the same result.
 *
 * The work is cut into parts whose number does not depend on the threads, and sums over parts are
 * made in one order, so the results do not depend on them either.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#if !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_CPU
#endif
#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT
#endif

enum { LANES = 16, BLOCK = 32, LARGEST_KERNEL = 7, LARGEST_TAPS = 49, MOST_PARTS = 64, TILE = 32 };
enum { VALUES_OF_A_PART = 65536 };

typedef float Floats __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef int32_t Signed __attribute__((vector_size(64)));
typedef struct { Floats a, b; } Block; /* even and odd channels, or the first and the last */

typedef struct Call Call;
struct Call { /* `Call` in kernels.py */
    const void *x;        /* (images, height, width, channels) */
    const void *gradient; /* of the output, in its form */
    void *result;         /* the output, or the gradient of x */
    float *sums;          /* room: (MOST_PARTS, rows, padded channels), rows being taps or 2 */
    float *arranged;      /* depthwise: (taps, padded channels). norm: (5, padded channels) */
    int64_t images, channels, height, width, height_out, width_out, kernel, stride, padding;
    int64_t bfloat16;     /* whether x, gradient and result are, or float32 */
    int64_t activation;   /* 0 none, 1 ReLU, 2 ReLU6, 3 hard swish */
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* torch's GOMP_parallel */
    int64_t threads;      /* at most; OpenMP may grant fewer */
    int64_t parts, taken; /* parts of the work, and how many were begun */
    void (*work)(const Call *, int64_t part);
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t padded(const Call *c) { return (c->channels + BLOCK - 1) / BLOCK * BLOCK; }
INLINE int64_t first_channel(const Call *c, int64_t block) {
    const int64_t last = c->channels - BLOCK;
    return block <= last ? block : last > 0 ? last : 0;
}

/* Where a channel lies in what is arranged by blocks. */
static int64_t place(const Call *c, int64_t channel) {
    const int64_t block = channel / BLOCK * BLOCK, i = channel - first_channel(c, block);
    return block + (c->bfloat16 ? i % 2 * LANES + i / 2 : i);
}

/* Write `row`, (channels) with a step between them, so that blocks find what belongs to them. */
static void arrange(const Call *c, float *to, const float *row, int64_t step) {
    for (int64_t block = 0; block < padded(c); block += BLOCK)
        for (int64_t i = 0; i < BLOCK; i++) {
            const int64_t channel = first_channel(c, block) + i;
            const int64_t at = c->bfloat16 ? i % 2 * LANES + i / 2 : i;
            to[block + at] = channel < c->channels ? row[channel * step] : 0;
        }
}

INLINE Floats load_floats(const float *from) {
    Floats floats;
    memcpy(&floats, from, sizeof floats);
    return floats;
}
INLINE Block load_arranged(const float *from) {
    return (Block){load_floats(from), load_floats(from + LANES)};
}
INLINE void store_arranged(float *to, Block block) {
    memcpy(to, &block.a, sizeof block.a);
    memcpy(to + LANES, &block.b, sizeof block.b);
}

INLINE void add_arranged(float *to, Block block) {
    const Block sum = load_arranged(to);
    store_arranged(to, (Block){sum.a + block.a, sum.b + block.b});
}

/* How values lie in memory; a constant wherever it is passed on. */
enum { BFLOAT16 = 1, FEW = 2 /* channels, less than a block */ };
INLINE int64_t form_of(const Call *c) {
    return (c->bfloat16 ? BFLOAT16 : 0) | (c->channels < BLOCK ? FEW : 0);
}
INLINE int64_t pixel_bytes(const Call *c, int64_t form) {
    return c->channels * (form & BFLOAT16 ? 2 : 4);
}

/* The block that begins with value `at`. */
INLINE Block load(const Call *c, const void *from, int64_t at, int64_t form) {
    if (!(form & BFLOAT16)) {
        float few[BLOCK] = {0};
        const float *values = (const float *)from + at;
        if (!(form & FEW)) return load_arranged(values);
        memcpy(few, values, (size_t)c->channels * sizeof *few);
        return load_arranged(few);
    }
    Words words = {0};
    const uint16_t *values = (const uint16_t *)from + at;
    if (form & FEW) memcpy(&words, values, (size_t)c->channels * 2);
    else memcpy(&words, values, sizeof words);
    return (Block){(Floats)(words << 16), (Floats)(words & 0xffff0000u)};
}

INLINE void store(const Call *c, void *to, int64_t at, Block block, int64_t form) {
    if (!(form & BFLOAT16)) {
        float few[BLOCK], *values = (float *)to + at;
        store_arranged(form & FEW ? few : values, block);
        if (form & FEW) memcpy(values, few, (size_t)c->channels * sizeof *few);
        return;
    }
    const Words a = (Words)block.a, b = (Words)block.b;
    const Words words = (a + 0x7fff + (a >> 16 & 1)) >> 16
                        | ((b + 0x7fff + (b >> 16 & 1)) & 0xffff0000u);
    uint16_t *values = (uint16_t *)to + at;
    if (form & FEW) memcpy(values, &words, (size_t)c->channels * 2);
    else memcpy(values, &words, sizeof words);
}

/* Parts are taken in turn by as many threads as there happen to be. */
static void run_thread(void *call) {
    Call *c = call;
    for (;;) {
        const int64_t part = __atomic_fetch_add(&c->taken, 1, __ATOMIC_RELAXED);
        if (part >= c->parts) return;
        c->work(c, part);
    }
}

static void run(Call *c, void (*work)(const Call *, int64_t)) {
    const int64_t pixels = c->height_out ? c->height_out * c->width_out : 1;
    const int64_t values = c->images * pixels * c->channels;
    c->parts = least(least(c->images, MOST_PARTS), 1 + values / VALUES_OF_A_PART);
    c->taken = 0;
    c->work = work;
    if (c->parallel && c->threads > 1) c->parallel(run_thread, c, (unsigned)c->threads, 0);
    else run_thread(c);
}

INLINE int64_t begin_of(const Call *c, int64_t part) { return c->images * part / c->parts; }

/* Add the sums of all parts, in order, to those of the first. */
static void add_parts(const Call *c, int64_t rows) {
    const int64_t count = rows * padded(c);
    for (int64_t part = 1; part < c->parts; part++)
        for (int64_t i = 0; i < count; i++) c->sums[i] += c->sums[part * count + i];
}

static float total(const Call *c, int64_t row, int64_t channel) {
    return c->sums[row * padded(c) + place(c, channel)];
}

/* ---------------------------------------------------------------- depthwise convolutions */

typedef struct { /* in one direction: the taps that a position reads, and where */
    int64_t count, tap[LARGEST_KERNEL], at[LARGEST_KERNEL];
} Reach;

/* Of the output position, the inputs that it reads; of the input position (`back`), the outputs
 * that read it. */
static void find_reach(const Call *c, Reach *r, int64_t position, int64_t size, int64_t back) {
    r->count = 0;
    for (int64_t tap = 0; tap < c->kernel; tap++) {
        int64_t at = position * c->stride - c->padding + tap;
        if (back) {
            at = position + c->padding - tap;
            if (at % c->stride) continue;
            at /= c->stride;
        }
        if (at < 0 || at >= size) continue;
        r->tap[r->count] = tap;
        r->at[r->count++] = at;
    }
}

/* All channels of one pixel: the sum over `count` taps of what is read times the tap's weight. */
INLINE void sum_taps(const Call *c, const void *from, void *to, const int64_t *reads,
                     const int64_t *weights, int64_t count, int64_t form) {
    const float *arranged = c->arranged;
    const int64_t bytes = form & BFLOAT16 ? 2 : 4, end = padded(c);
    for (int64_t block = 0; block < end; block += BLOCK) {
        const int64_t channel = first_channel(c, block);
        const char *at = (const char *)from + channel * bytes;
        Block sum = {{0}, {0}};
#pragma GCC unroll 9
        for (int64_t i = 0; i < count; i++) {
            const Block x = load(c, at, reads[i], form);
            const Block weight = load_arranged(arranged + weights[i] + block);
            sum.a += x.a * weight.a;
            sum.b += x.b * weight.b;
        }
        store(c, to, channel, sum, form);
    }
}

/* One image of the output, or (`back`) of the gradient of x. */
INLINE void convolve_image(const Call *c, int64_t image, int64_t back, int64_t form) {
    const int64_t height = back ? c->height_out : c->height, width = back ? c->width_out : c->width;
    const int64_t rows = back ? c->height : c->height_out, columns = back ? c->width : c->width_out;
    const int64_t bytes = pixel_bytes(c, form), kernel = c->kernel;
    const char *from = back ? c->gradient : c->x;
    from += image * height * width * bytes;
    char *to = (char *)c->result + image * rows * columns * bytes;
    Reach across[columns], down;
    for (int64_t column = 0; column < columns; column++)
        find_reach(c, across + column, column, width, back);
    for (int64_t row = 0; row < rows; row++) {
        find_reach(c, &down, row, height, back);
        for (int64_t column = 0; column < columns; column++, to += bytes) {
            const Reach *a = across + column;
            int64_t reads[LARGEST_TAPS], weights[LARGEST_TAPS], count = 0;
            for (int64_t i = 0; i < down.count; i++)
                for (int64_t j = 0; j < a->count; j++) {
                    reads[count] = (down.at[i] * width + a->at[j]) * c->channels;
                    weights[count++] = (down.tap[i] * kernel + a->tap[j]) * padded(c);
                }
            if (count == 9) sum_taps(c, from, to, reads, weights, 9, form);
            else sum_taps(c, from, to, reads, weights, count, form);
        }
    }
}

INLINE void add_product(Block *sum, Block x, Block y) {
    sum->a += x.a * y.a;
    sum->b += x.b * y.b;
}

/* The outputs of one direction, [*begin, *end), whose tap `tap` lies in the input. */
INLINE void inside(const Call *c, int64_t tap, int64_t size, int64_t size_out, int64_t *begin,
                   int64_t *end) {
    *begin = 0;
    *end = size_out;
    while (*begin < *end && *begin * c->stride - c->padding + tap < 0) ++*begin;
    while (*begin < *end && (*end - 1) * c->stride - c->padding + tap >= size) --*end;
}

/* Sums, (taps, padded channels), of what the images of a part give to the weights' gradient. */
INLINE void correlate_part(const Call *c, int64_t part, int64_t form) {
    const int64_t channels = c->channels, kernel = c->kernel, step = c->stride * channels;
    const int64_t pixels = c->height * c->width, pixels_out = c->height_out * c->width_out;
    float *sums = c->sums + part * kernel * kernel * padded(c);
    for (int64_t block = 0; block < padded(c); block += BLOCK)
        for (int64_t tap = 0; tap < kernel * kernel; tap++) {
            int64_t top, bottom, left, right;
            inside(c, tap / kernel, c->height, c->height_out, &top, &bottom);
            inside(c, tap % kernel, c->width, c->width_out, &left, &right);
            const int64_t column = left * c->stride - c->padding + tap % kernel;
            Block even = {{0}, {0}}, odd = {{0}, {0}}; /* columns: two sums at once */
            for (int64_t image = begin_of(c, part); image < begin_of(c, part + 1); image++)
                for (int64_t row = top; row < bottom; row++) {
                    const int64_t y = row * c->stride - c->padding + tap / kernel;
                    int64_t at = (image * pixels + y * c->width + column) * channels;
                    int64_t of = (image * pixels_out + row * c->width_out + left) * channels;
                    at += first_channel(c, block);
                    of += first_channel(c, block);
                    int64_t count = right - left;
                    for (; count > 1; count -= 2, at += 2 * step, of += 2 * channels) {
                        add_product(&even, load(c, c->gradient, of, form), load(c, c->x, at, form));
                        add_product(&odd, load(c, c->gradient, of + channels, form),
                                    load(c, c->x, at + step, form));
                    }
                    if (count > 0)
                        add_product(&even, load(c, c->gradient, of, form), load(c, c->x, at, form));
                }
            even.a += odd.a;
            even.b += odd.b;
            store_arranged(sums + tap * padded(c) + block, even);
        }
}

/* Call FUNCTION with the form of the values, and with what comes before it, as constants. */
#define BY_FORM(...)                                      \
    switch (form_of(c)) {                                 \
    case 0: WITH(__VA_ARGS__, 0); break;                  \
    case BFLOAT16: WITH(__VA_ARGS__, BFLOAT16); break;    \
    case FEW: WITH(__VA_ARGS__, FEW); break;              \
    default: WITH(__VA_ARGS__, BFLOAT16 | FEW);           \
    }
#define WITH(FUNCTION, ...) FUNCTION(c, __VA_ARGS__)

FOR_EACH_CPU static void convolve(const Call *c, int64_t part) {
    for (int64_t image = begin_of(c, part); image < begin_of(c, part + 1); image++)
        BY_FORM(convolve_image, image, 0)
}

/* Both gradients of a part, one after the other while it is in the cache. */
FOR_EACH_CPU static void convolve_back(const Call *c, int64_t part) {
    for (int64_t image = begin_of(c, part); c->result && image < begin_of(c, part + 1); image++)
        BY_FORM(convolve_image, image, 1)
    BY_FORM(correlate_part, part)
}

static void arrange_taps(const Call *c, const float *weight) {
    const int64_t taps = c->kernel * c->kernel;
    for (int64_t tap = 0; tap < taps; tap++)
        arrange(c, c->arranged + tap * padded(c), weight + tap, taps);
}

/* Weights and their gradient are (channels, taps). */
EXPORT void lightfer_depthwise(Call *c, const float *weight) {
    arrange_taps(c, weight);
    run(c, convolve);
}

/* To `result` the gradient of x, where it is not NULL. */
EXPORT void lightfer_depthwise_back(Call *c, const float *weight, float *of_weight) {
    arrange_taps(c, weight);
    const int64_t taps = c->kernel * c->kernel;
    run(c, convolve_back);
    add_parts(c, taps);
    for (int64_t channel = 0; channel < c->channels; channel++)
        for (int64_t tap = 0; tap < taps; tap++)
            of_weight[channel * taps + tap] = total(c, tap, channel);
}

/* ---------------------------------------------------------------- batch norm and activation */

/* Compilers take comparisons of vectors apart, so signs serve as masks. */
INLINE Floats where_negative(Floats sign, Floats value) {
    return (Floats)((Signed)value & (Signed)sign >> 31);
}

INLINE Floats relu(Floats z) { return z - where_negative(z, z) + 0 * z; /* NaN stays NaN */ }

INLINE Floats activate(Floats z, int64_t activation) {
    if (activation == 1) return relu(z);
    if (activation == 2) return relu(z) - relu(z - 6);
    if (activation == 3) return z * (relu(z + 3) - relu(z - 3)) * (1.0f / 6);
    return z;
}

/* The gradient of z from that of activate(z). */
INLINE Floats activate_back(Floats g, Floats z, int64_t activation) {
    if (activation == 1) return where_negative(0 - z, g);
    if (activation == 2) return where_negative(0 - z, where_negative(z - 6, g));
    if (activation == 3) {
        const Floats sloped = g * (z * (1.0f / 3) + 0.5f);
        const Floats middle = where_negative(-3 - z, where_negative(z - 3, sloped));
        return middle + g - where_negative(z - 3, g);
    }
    return g;
}

/* The rows of `arranged`. */
enum { SCALE, SHIFT, MEAN, OF_X, CONSTANT };

INLINE Block arranged_row(const Call *c, int64_t row, int64_t block) {
    return load_arranged(c->arranged + row * padded(c) + block);
}

/* Add to `sums`, (2, padded channels), over the pixels [begin, end): x - first and its square, or
 * (`back`) the gradient of the norm's output and that times x - mean. */
INLINE void sum_pixels(const Call *c, float *sums, int64_t begin, int64_t end, int64_t block,
                       int64_t back, int64_t activation, int64_t form) {
    const int64_t channel = first_channel(c, block);
    Block one = {{0}, {0}}, two = one;
    const Block scale = arranged_row(c, SCALE, block), shift = arranged_row(c, SHIFT, block);
    const Block middle = back ? arranged_row(c, MEAN, block) : load(c, c->x, channel, form);
    for (int64_t pixel = begin; pixel < end; pixel++) {
        const int64_t at = pixel * c->channels + channel;
        const Block x = load(c, c->x, at, form);
        const Block distance = {x.a - middle.a, x.b - middle.b};
        Block g = distance;
        if (back) {
            g = load(c, c->gradient, at, form);
            g.a = activate_back(g.a, x.a * scale.a + shift.a, activation);
            g.b = activate_back(g.b, x.b * scale.b + shift.b, activation);
        }
        one.a += g.a;
        one.b += g.b;
        add_product(&two, g, distance);
    }
    add_arranged(sums + block, one);
    add_arranged(sums + padded(c) + block, two);
}

INLINE void sum_part(const Call *c, int64_t part, int64_t back, int64_t activation,
                     int64_t form) {
    float *sums = c->sums + part * 2 * padded(c);
    const int64_t end = begin_of(c, part + 1);
    memset(sums, 0, sizeof *sums * 2 * (size_t)padded(c));
    for (int64_t begin = begin_of(c, part); begin < end; begin += TILE)
        for (int64_t block = 0; block < padded(c); block += BLOCK)
            sum_pixels(c, sums, begin, least(end, begin + TILE), block, back, activation, form);
}

/* The output, or (`back`) the gradient of x. */
INLINE void write_part(const Call *c, int64_t part, int64_t back, int64_t activation,
                       int64_t form) {
    const int64_t end = begin_of(c, part + 1);
    for (int64_t pixel = begin_of(c, part); pixel < end; pixel++)
        for (int64_t block = 0; block < padded(c); block += BLOCK) {
            const int64_t at = pixel * c->channels + first_channel(c, block);
            const Block x = load(c, c->x, at, form);
            const Block scale = arranged_row(c, SCALE, block), shift = arranged_row(c, SHIFT, block);
            Block y = {x.a * scale.a + shift.a, x.b * scale.b + shift.b};
            if (back) {
                const Block of_x = arranged_row(c, OF_X, block);
                const Block constant = arranged_row(c, CONSTANT, block);
                const Block g = load(c, c->gradient, at, form);
                y.a = activate_back(g.a, y.a, activation) * scale.a + x.a * of_x.a + constant.a;
                y.b = activate_back(g.b, y.b, activation) * scale.b + x.b * of_x.b + constant.b;
            } else {
                y.a = activate(y.a, activation);
                y.b = activate(y.b, activation);
            }
            store(c, c->result, at, y, form);
        }
}

#define BY_ACTIVATION(FUNCTION, BACK)                          \
    switch (c->activation) {                                   \
    case 0: BY_FORM(FUNCTION, part, BACK, 0) break;            \
    case 1: BY_FORM(FUNCTION, part, BACK, 1) break;            \
    case 2: BY_FORM(FUNCTION, part, BACK, 2) break;            \
    default: BY_FORM(FUNCTION, part, BACK, 3)                  \
    }
FOR_EACH_CPU static void sum(const Call *c, int64_t part) { BY_FORM(sum_part, part, 0, 0) }
FOR_EACH_CPU static void sum_back(const Call *c, int64_t part) { BY_ACTIVATION(sum_part, 1) }
FOR_EACH_CPU static void put(const Call *c, int64_t part) { BY_ACTIVATION(write_part, 0) }
FOR_EACH_CPU static void put_back(const Call *c, int64_t part) { BY_ACTIVATION(write_part, 1) }

static float first_value(const Call *c, int64_t channel) {
    if (!c->bfloat16) return ((const float *)c->x)[channel];
    const uint32_t bits = (uint32_t)((const uint16_t *)c->x)[channel] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* `images` counts pixels here. `statistics`, (4, channels), takes scale, shift, mean and one over
 * the standard deviation, which the gradient needs; the running ones move by `momentum`. */
EXPORT void lightfer_norm(Call *c, const float *gamma, const float *beta, float *running_mean,
                          float *running_variance, float *statistics, double epsilon,
                          double momentum) {
    const int64_t channels = c->channels;
    const double n = (double)c->images;
    run(c, sum);
    add_parts(c, 2);
    for (int64_t i = 0; i < channels; i++) {
        const double distance = total(c, 0, i) / n;
        const double variance = fmax(total(c, 1, i) / n - distance * distance, 0);
        const double mean = first_value(c, i) + distance, inverse = 1 / sqrt(variance + epsilon);
        statistics[i] = (float)(gamma[i] * inverse);
        statistics[channels + i] = (float)(beta[i] - mean * gamma[i] * inverse);
        statistics[2 * channels + i] = (float)mean;
        statistics[3 * channels + i] = (float)inverse;
        if (running_mean) {
            const double unbiased = variance * n / (n - 1);
            running_mean[i] += (float)(momentum * (mean - running_mean[i]));
            running_variance[i] += (float)(momentum * (unbiased - running_variance[i]));
        }
    }
    arrange(c, c->arranged + SCALE * padded(c), statistics, 1);
    arrange(c, c->arranged + SHIFT * padded(c), statistics + channels, 1);
    run(c, put);
}

/* To `result` the gradient of x, to the others those of gamma and beta. `statistics` is
 * (6, channels): the last two rows are written over. */
EXPORT void lightfer_norm_back(Call *c, float *statistics, float *of_gamma, float *of_beta) {
    const int64_t channels = c->channels;
    const float *scale = statistics, *mean = scale + 2 * channels, *inverse = mean + channels;
    float *of_x = statistics + 4 * channels, *constant = of_x + channels;
    for (int64_t row = SCALE; row <= MEAN; row++)
        arrange(c, c->arranged + row * padded(c), statistics + row * channels, 1);
    run(c, sum_back);
    add_parts(c, 2);
    for (int64_t i = 0; i < channels; i++) {
        const double sum = total(c, 0, i), product = total(c, 1, i) * inverse[i];
        const double slope = -scale[i] * product * inverse[i] / (double)c->images;
        of_beta[i] = (float)sum;
        of_gamma[i] = (float)product;
        of_x[i] = (float)slope;
        constant[i] = (float)(-scale[i] * sum / (double)c->images - slope * mean[i]);
    }
    arrange(c, c->arranged + OF_X * padded(c), of_x, 1);
    arrange(c, c->arranged + CONSTANT * padded(c), constant, 1);
    run(c, put_back);
}
