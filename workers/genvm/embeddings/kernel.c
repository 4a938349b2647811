/* The arithmetic of all-MiniLM-L6-v2, as a WebAssembly module without imports.
 *
 * Built by scripts/build-kernel into kernel.wasm, which is what runs. Only operations that IEEE 754
 * defines to the last bit are used (+ - * / and square root), each sum has one order, and exp and erf
 * are series written here: so a text has the same vector on every machine.
 *
 * The host copies bytes and calls, in this order: embed(n) once, layer(n) six times, pool() once.
 * Before each call it puts the weights of that step at weights(), in their order in the model's file;
 * before embed, also the rows of the n tokens at vectors(). The result is then at vectors().
 */

enum { WIDTH = 384, INNER = 1536, HEADS = 12, HEAD = WIDTH / HEADS, TOKENS = 512 };
enum { LAYER_WEIGHTS = 4 * WIDTH * WIDTH + 2 * WIDTH * INNER + 9 * WIDTH + INNER };

typedef float Lanes __attribute__((vector_size(16)));

#define EXPORT(name) __attribute__((export_name(#name))) name
#define ALIGNED __attribute__((aligned(16)))

static float x[TOKENS * WIDTH] ALIGNED;
static float query[TOKENS * WIDTH] ALIGNED;
static float key[TOKENS * WIDTH] ALIGNED;
static float value[TOKENS * WIDTH] ALIGNED;
static float mixed[TOKENS * WIDTH] ALIGNED;
static float inner[TOKENS * INNER] ALIGNED;
static float scores[TOKENS] ALIGNED;
static float taken[LAYER_WEIGHTS] ALIGNED;
static const float *next;

float *EXPORT(vectors)(void) { return x; }
float *EXPORT(weights)(void) { return taken; }

static const float *take(int count) {
    const float *here = next;
    next += count;
    return here;
}

/* e to the power of v, by the series around the nearest multiple of log 2. */
static double exponential(double v) {
    if (v < -700.0) return 0.0;
    double turns = __builtin_floor(v * 1.4426950408889634 + 0.5);
    double rest = (v - turns * 0.693147180369123816490) - turns * 1.90821492927058770002e-10;
    double sum = 1.0, term = 1.0;
    for (int i = 1; i <= 14; i++) {
        term = term * rest / i;
        sum = sum + term;
    }
    union { unsigned long long bits; double number; } power;
    power.bits = (unsigned long long)(1023 + (long long)turns) << 52;
    return sum * power.number;
}

/* The error function, by its series with terms of one sign. */
static double error_function(double v) {
    double size = v < 0 ? -v : v;
    if (size > 4.0) return v < 0 ? -1.0 : 1.0;
    double square = 2.0 * size * size, term = size, sum = size;
    for (int i = 3; term > sum * 1e-12; i += 2) {
        term = term * square / i;
        sum = sum + term;
    }
    double result = 1.1283791670955126 * exponential(-size * size) * sum;
    return v < 0 ? -result : result;
}

static float total(Lanes v) { return (v[0] + v[1]) + (v[2] + v[3]); }

/* out[token][row] = sum of in[token] * matrix[row] + bias[row], for `count` tokens from `token` on. */
static inline __attribute__((always_inline)) void product(
    float *out, const float *in, const float *matrix, const float *bias, int count, int width, int rows) {
    for (int row = 0; row < rows; row += 4) {
        Lanes sums[4][4];
        for (int t = 0; t < count; t++)
            for (int r = 0; r < 4; r++) sums[t][r] = (Lanes){0, 0, 0, 0};
        for (int at = 0; at < width; at += 4) {
            Lanes of[4];
            for (int r = 0; r < 4; r++) of[r] = *(const Lanes *)(matrix + (row + r) * width + at);
            for (int t = 0; t < count; t++) {
                Lanes one = *(const Lanes *)(in + t * width + at);
                for (int r = 0; r < 4; r++) sums[t][r] = sums[t][r] + one * of[r];
            }
        }
        for (int t = 0; t < count; t++)
            for (int r = 0; r < 4; r++) out[t * rows + row + r] = total(sums[t][r]) + bias[row + r];
    }
}

/* A dense layer: the next weights are its bias and its matrix. */
static void dense(float *out, const float *in, int tokens, int width, int rows) {
    const float *bias = take(rows), *matrix = take(width * rows);
    int token = 0;
    for (; token + 4 <= tokens; token += 4)
        product(out + token * rows, in + token * width, matrix, bias, 4, width, rows);
    for (; token < tokens; token++)
        product(out + token * rows, in + token * width, matrix, bias, 1, width, rows);
}

/* Normalize each of `tokens` vectors of x by the shift and the scale that lie at `by`. */
static void normalize(int tokens, const float *by) {
    const float *shift = by, *scale = by + WIDTH;
    for (int token = 0; token < tokens; token++) {
        float *v = x + token * WIDTH;
        double mean = 0.0, variance = 0.0;
        for (int i = 0; i < WIDTH; i++) mean = mean + v[i];
        mean = mean / WIDTH;
        for (int i = 0; i < WIDTH; i++) variance = variance + (v[i] - mean) * (v[i] - mean);
        double deviation = __builtin_sqrt(variance / WIDTH + 1e-12);
        for (int i = 0; i < WIDTH; i++) v[i] = (float)((v[i] - mean) / deviation * scale[i] + shift[i]);
    }
}

static void add(const float *more, int count) {
    for (int i = 0; i < count; i++) x[i] = x[i] + more[i];
}

/* One head's part of mixed[token]: the values, weighted by how well query and keys fit. */
static void attend(int token, int head, int tokens) {
    const float *q = query + token * WIDTH + head * HEAD;
    float best = 0.0f;
    for (int other = 0; other < tokens; other++) {
        const float *k = key + other * WIDTH + head * HEAD;
        Lanes sum = {0, 0, 0, 0};
        for (int i = 0; i < HEAD; i += 4) sum = sum + *(const Lanes *)(q + i) * *(const Lanes *)(k + i);
        scores[other] = total(sum) / 5.656854249492381f;
        if (other == 0 || scores[other] > best) best = scores[other];
    }
    double all = 0.0;
    for (int other = 0; other < tokens; other++) {
        scores[other] = (float)exponential((double)scores[other] - best);
        all = all + scores[other];
    }
    Lanes sums[HEAD / 4];
    for (int i = 0; i < HEAD / 4; i++) sums[i] = (Lanes){0, 0, 0, 0};
    for (int other = 0; other < tokens; other++) {
        float share = (float)(scores[other] / all);
        const Lanes *v = (const Lanes *)(value + other * WIDTH + head * HEAD);
        for (int i = 0; i < HEAD / 4; i++) sums[i] = sums[i] + v[i] * share;
    }
    Lanes *to = (Lanes *)(mixed + token * WIDTH + head * HEAD);
    for (int i = 0; i < HEAD / 4; i++) to[i] = sums[i];
}

/* x: the tokens' own vectors, plus those of their positions and of the one segment. */
void EXPORT(embed)(int tokens) {
    next = taken;
    const float *norm = take(2 * WIDTH);
    add(take(TOKENS * WIDTH), tokens * WIDTH);
    const float *segment = take(WIDTH);
    for (int token = 0; token < tokens; token++)
        for (int i = 0; i < WIDTH; i++) x[token * WIDTH + i] = x[token * WIDTH + i] + segment[i];
    normalize(tokens, norm);
}

void EXPORT(layer)(int tokens) {
    next = taken;
    const float *norm = take(2 * WIDTH), *output = take(WIDTH + WIDTH * WIDTH);
    dense(key, x, tokens, WIDTH, WIDTH);
    dense(query, x, tokens, WIDTH, WIDTH);
    dense(value, x, tokens, WIDTH, WIDTH);
    const float *feed = next;
    for (int token = 0; token < tokens; token++)
        for (int head = 0; head < HEADS; head++) attend(token, head, tokens);
    next = output;
    dense(query, mixed, tokens, WIDTH, WIDTH);
    add(query, tokens * WIDTH);
    normalize(tokens, norm);
    next = feed;
    dense(inner, x, tokens, WIDTH, INNER);
    for (int i = 0; i < tokens * INNER; i++)
        inner[i] = (float)(0.5 * inner[i] * (1.0 + error_function(inner[i] * 0.7071067811865476)));
    norm = take(2 * WIDTH);
    dense(query, inner, tokens, INNER, WIDTH);
    add(query, tokens * WIDTH);
    normalize(tokens, norm);
}

/* The pooled vector: a dense layer on that of the first token, then the hyperbolic tangent. */
void EXPORT(pool)(void) {
    next = taken;
    dense(query, x, 1, WIDTH, WIDTH);
    for (int i = 0; i < WIDTH; i++) {
        double v = query[i] < 0 ? -query[i] : query[i];
        double fall = exponential(-2.0 * v), size = (1.0 - fall) / (1.0 + fall);
        x[i] = (float)(query[i] < 0 ? -size : size);
    }
}
