/* Reads a request, checks it, runs its operation, writes the response.

   `vae-speaker REQUEST RESPONSE` answers one request; `vae-speaker` alone answers one for each line of stdin. */

#include "speaker.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static Request request;
static Response response;
static jmp_buf refusal;

/* --- answers --- */

static void say(const char *key, const char *value)
{
    response.metadata[response.entry_count].key = key;
    response.metadata[response.entry_count++].value = value;
}

/* A matrix (rows, columns), or a vector (rows,) where `columns` is 0. */
static void answer(const char *name, const double *values, size_t rows, size_t columns)
{
    Result *result = &response.results[response.result_count++];
    result->name = name;
    result->values = values;
    result->rank = columns ? 2 : 1;
    result->shape[0] = rows;
    result->shape[1] = columns;
}

static void answer_parameters(const Model *model, double *const *tensors, const char *prefix)
{
    int p;
    for (p = 0; p < PARAMETERS; p++) {
        size_t shape[2], room = strlen(prefix) + strlen(PARAMETER_NAMES[p]) + 1;
        char *name = take(room, 1);
        int rank;
        shape_of(model, p, shape, &rank);
        snprintf(name, room, "%s%s", prefix, PARAMETER_NAMES[p]);
        answer(name, tensors[p], shape[0], rank == 2 ? shape[1] : 0);
    }
}

static void answer_state(const State *state)
{
    Result *step;
    answer_parameters(&state->model, state->model.tensors, "");
    answer_parameters(&state->model, state->m, "adam.m.");
    answer_parameters(&state->model, state->v, "adam.v.");
    step = &response.results[response.result_count++];
    step->name = "adam.step";
    step->integer = state->step;
}

/* Ends the operation: the answer is an error, `kind` "value" or "type", whose message names the argument. */
static void refuse(const char *kind, const char *format, ...)
{
    enum { ROOM = 512 };
    char *message = take(ROOM, 1);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, ROOM, format, arguments);
    va_end(arguments);
    memset(&response, 0, sizeof response);
    say("error", message);
    say("error_kind", kind);
    longjmp(refusal, 1);
}

/* --- checked arguments --- */

static const char *metadata(const char *key)
{
    size_t i;
    for (i = 0; i < request.entry_count; i++)
        if (!strcmp(key, request.metadata[i].key))
            return request.metadata[i].value;
    refuse("value", "%s: missing from the metadata", key);
    return "";
}

static Tensor *find(const char *name)
{
    size_t i;
    for (i = 0; i < request.tensor_count; i++)
        if (!strcmp(name, request.tensors[i].name)) {
            request.tensors[i].used = 1;
            return &request.tensors[i];
        }
    return NULL;
}

static Tensor *need(const char *label, const char *name)
{
    Tensor *found = find(name);
    if (!found)
        refuse("value", "%s: missing", label);
    return found;
}

static void no_others(const char *argument)
{
    size_t i;
    for (i = 0; i < request.tensor_count; i++)
        if (!request.tensors[i].used)
            refuse("value", "%s: got a tensor %s; expected none of that name", argument, request.tensors[i].name);
}

/* "(4, 12)"; a length of 0 is printed as `any`, where that is not NULL. */
static const char *shape_text(const size_t *shape, int rank, const char *any)
{
    enum { ROOM = 32 * MAX_RANK };
    char *text = take(ROOM, 1);
    int i, at = snprintf(text, ROOM, "(");
    for (i = 0; i < rank; i++) {
        at += snprintf(text + at, (size_t)(ROOM - at), "%s", i ? ", " : "");
        if (any && !shape[i])
            at += snprintf(text + at, (size_t)(ROOM - at), "%s", any);
        else
            at += snprintf(text + at, (size_t)(ROOM - at), "%lu", (unsigned long)shape[i]);
    }
    snprintf(text + at, (size_t)(ROOM - at), "%s", rank == 1 ? ",)" : ")");
    return text;
}

/* The shape must be `shape`, where 0 stands for any positive length, which is filled in. */
static void check_shape(const char *label, const Tensor *tensor, size_t *shape, int rank)
{
    int i, fits = tensor->rank == rank;
    for (i = 0; fits && i < rank; i++)
        fits = shape[i] ? tensor->shape[i] == shape[i] : tensor->shape[i] > 0;
    if (!fits)
        refuse("value", "%s: got shape %s; expected %s", label, shape_text(tensor->shape, tensor->rank, NULL),
               shape_text(shape, rank, "any"));
    for (i = 0; i < rank; i++)
        shape[i] = tensor->shape[i];
}

/* A float32 or float64 tensor of finite numbers. */
static double *floats(const char *label, const char *name, size_t *shape, int rank)
{
    const Tensor *tensor = need(label, name);
    double *values;
    size_t i;
    if (strcmp(tensor->dtype, "F32") && strcmp(tensor->dtype, "F64"))
        refuse("type", "%s: got dtype %s; expected F32 or F64", label, tensor->dtype);
    check_shape(label, tensor, shape, rank);
    values = take(tensor->count, sizeof *values);
    for (i = 0; i < tensor->count; i++) {
        values[i] = number_at(tensor, i);
        if (!isfinite(values[i]))
            refuse("value", "%s: got %g at element %lu; expected finite numbers", label, values[i], (unsigned long)i);
    }
    return values;
}

static int64_t *integers(const char *label, const char *name, size_t *shape, int rank)
{
    const Tensor *tensor = need(label, name);
    int64_t *values;
    size_t i;
    if (strcmp(tensor->dtype, "I64"))
        refuse("type", "%s: got dtype %s; expected I64", label, tensor->dtype);
    check_shape(label, tensor, shape, rank);
    values = take(tensor->count, sizeof *values);
    for (i = 0; i < tensor->count; i++)
        values[i] = integer_at(tensor, i);
    return values;
}

/* Images: (B, D), every pixel in [0, 1]; B is filled in. */
static double *images(const Model *model, size_t *B)
{
    size_t shape[2] = {0, 0}, i;
    double *x;
    shape[1] = model->D;
    x = floats("x", "x", shape, 2);
    for (i = 0; i < shape[0] * shape[1]; i++)
        if (x[i] < 0.0 || x[i] > 1.0)
            refuse("value", "x: got %g at element %lu; expected pixels in [0, 1]", x[i], (unsigned long)i);
    *B = shape[0];
    return x;
}

/* (B, L); B is filled in where it is 0. */
static double *latents(const char *name, const Model *model, size_t *B)
{
    size_t shape[2];
    double *values;
    shape[0] = *B;
    shape[1] = model->L;
    values = floats(name, name, shape, 2);
    *B = shape[0];
    return values;
}

/* The ten parameters, or Adam's moments of them, rounded to the model's dtype; `argument` is what messages call them.
   The sizes are read from the shapes where `model->D` is 0. */
static void tensors_of(Model *model, double **tensors, const char *argument, const char *prefix)
{
    size_t shape[2], i;
    char name[64], label[96];
    int p, rank;
    for (p = 0; p < PARAMETERS; p++) {
        snprintf(name, sizeof name, "%s%s", prefix, PARAMETER_NAMES[p]);
        snprintf(label, sizeof label, "%s['%s']", argument, name);
        if ((p == W1 || p == W_MU) && !model->L) { /* D and H come from the first, L from the second */
            shape[0] = 0;
            shape[1] = model->H;
            rank = 2;
        } else {
            shape_of(model, p, shape, &rank);
        }
        tensors[p] = floats(label, name, shape, rank);
        if (p == W1) {
            model->H = shape[0];
            model->D = shape[1];
        } else if (p == W_MU) {
            model->L = shape[0];
        }
        for (i = 0; i < size_of(model, p); i++)
            tensors[p][i] = rounded(tensors[p][i], response.narrow);
    }
}

static Model read_model(const char *argument)
{
    Model model;
    memset(&model, 0, sizeof model);
    tensors_of(&model, model.tensors, argument, "");
    return model;
}

static State read_state(const char *argument)
{
    State state;
    char label[96];
    memset(&state, 0, sizeof state);
    state.model = read_model(argument);
    tensors_of(&state.model, state.m, argument, "adam.m.");
    tensors_of(&state.model, state.v, argument, "adam.v.");
    snprintf(label, sizeof label, "%s['adam.step']", argument);
    state.step = *integers(label, "adam.step", NULL, 0);
    if (state.step < 0)
        refuse("value", "%s: got %ld; expected 0 or more", label, (long)state.step);
    return state;
}

static double *matrix(size_t rows, size_t columns)
{
    if (columns && rows > SIZE_MAX / sizeof(double) / columns)
        refuse("value", "got %lu x %lu numbers; expected fewer", (unsigned long)rows, (unsigned long)columns);
    return take(rows * columns, sizeof(double));
}

/* --- operations --- */

static const char *operation_names(void);

static void op_describe(void)
{
    say("protocol", "1");
    say("operations", operation_names());
    say("serve", "yes");
    say("framework", "C99");
    say("version", "1.0");
    say("device", "cpu");
    say("precision", "float64 arithmetic");
    say("threads", "1");
}

static void op_load(void)
{
    Model model = read_model("params");
    no_others("params");
    answer_parameters(&model, model.tensors, "");
}

static void op_load_state(void)
{
    State state = read_state("state");
    no_others("state");
    answer_state(&state);
}

static void op_encode(void)
{
    Model model = read_model("params");
    Row row = new_row(&model);
    size_t B, b;
    double *x = images(&model, &B), *mu = matrix(B, model.L), *logvar = matrix(B, model.L);
    no_others("encode");
    for (b = 0; b < B; b++) {
        encode(&model, x + b * model.D, &row);
        memcpy(mu + b * model.L, row.mu, model.L * sizeof *mu);
        memcpy(logvar + b * model.L, row.logvar, model.L * sizeof *logvar);
    }
    answer("mu", mu, B, model.L);
    answer("logvar", logvar, B, model.L);
}

static void op_reparameterize(void)
{
    Model model = read_model("params");
    Row row = new_row(&model);
    size_t B = 0, b, L = model.L;
    double *mu = latents("mu", &model, &B), *logvar = latents("logvar", &model, &B);
    double *noise = latents("noise", &model, &B), *z = matrix(B, L);
    no_others("reparameterize");
    for (b = 0; b < B; b++) {
        memcpy(row.mu, mu + b * L, L * sizeof *mu);
        memcpy(row.logvar, logvar + b * L, L * sizeof *logvar);
        reparameterize(noise + b * L, L, &row);
        memcpy(z + b * L, row.z, L * sizeof *z);
    }
    answer("z", z, B, L);
}

static void op_decode(void)
{
    Model model = read_model("params");
    Row row = new_row(&model);
    size_t B = 0, b;
    double *z = latents("z", &model, &B), *logits = matrix(B, model.D);
    no_others("decode");
    for (b = 0; b < B; b++) {
        memcpy(row.z, z + b * model.L, model.L * sizeof *z);
        decode(&model, &row);
        memcpy(logits + b * model.D, row.logits, model.D * sizeof *logits);
    }
    answer("logits", logits, B, model.D);
}

static void op_losses(void)
{
    Model model = read_model("params");
    Row row = new_row(&model);
    size_t B, b;
    double *x = images(&model, &B), *noise = latents("noise", &model, &B);
    double *reconstruction = matrix(B, 1), *kl = matrix(B, 1);
    no_others("losses");
    for (b = 0; b < B; b++) {
        forward(&model, x + b * model.D, noise + b * model.L, &row);
        losses(&model, x + b * model.D, &row, reconstruction + b, kl + b);
    }
    answer("reconstruction", reconstruction, B, 0);
    answer("kl", kl, B, 0);
}

static void new_gradients(const Model *model, double **gradients)
{
    int p;
    for (p = 0; p < PARAMETERS; p++)
        gradients[p] = take(size_of(model, p), sizeof(double));
}

static void op_gradients(void)
{
    Model model = read_model("params");
    Row row = new_row(&model), slopes = new_row(&model);
    double *gradients[PARAMETERS];
    size_t B, b;
    double *x = images(&model, &B), *noise = latents("noise", &model, &B);
    no_others("gradients");
    new_gradients(&model, gradients);
    for (b = 0; b < B; b++) {
        forward(&model, x + b * model.D, noise + b * model.L, &row);
        add_gradients(&model, x + b * model.D, noise + b * model.L, &row, &slopes, gradients);
    }
    answer_parameters(&model, gradients, "");
}

/* One step of Adam on the images x[order[0..B-1]]; returns the objective before it. */
static double train_step(State *state, const double *x, const int64_t *order, const double *noise, size_t B, Row *rows,
                         double *const *gradients)
{
    const Model *model = &state->model;
    double objective = 0.0, reconstruction, kl;
    size_t b;
    int p;
    for (p = 0; p < PARAMETERS; p++)
        memset(gradients[p], 0, size_of(model, p) * sizeof(double));
    for (b = 0; b < B; b++, noise += model->L) {
        const double *image = x + (size_t)order[b] * model->D;
        forward(model, image, noise, &rows[0]);
        losses(model, image, &rows[0], &reconstruction, &kl);
        objective += reconstruction + kl;
        add_gradients(model, image, noise, &rows[0], &rows[1], gradients);
    }
    adam_step(state, gradients, response.narrow);
    return objective;
}

static void op_train(void)
{
    State state = read_state("state");
    double *gradients[PARAMETERS], *x, *noise, *objective;
    size_t N, shape[3] = {0, 0, 0}, i;
    int64_t *order;
    Row rows[2];
    x = images(&state.model, &N);
    order = integers("order", "order", shape, 2);
    for (i = 0; i < shape[0] * shape[1]; i++)
        if (order[i] < 0 || (uint64_t)order[i] >= N)
            refuse("value", "order: got row %ld; expected rows of x, 0 to %lu", (long)order[i], (unsigned long)N - 1);
    shape[2] = state.model.L;
    noise = floats("noise", "noise", shape, 3);
    no_others("train");
    rows[0] = new_row(&state.model);
    rows[1] = new_row(&state.model);
    new_gradients(&state.model, gradients);
    objective = matrix(shape[0], 1);
    for (i = 0; i < shape[0]; i++)
        objective[i] = train_step(&state, x, order + i * shape[1], noise + i * shape[1] * shape[2], shape[1], rows,
                                  gradients);
    answer("objective", objective, shape[0], 0);
    answer_state(&state);
}

static const struct {
    const char *name;
    void (*run)(void);
} OPERATIONS[] = {{"describe", op_describe},     {"load", op_load},
                  {"load_state", op_load_state}, {"encode", op_encode},
                  {"decode", op_decode},         {"reparameterize", op_reparameterize},
                  {"losses", op_losses},         {"gradients", op_gradients},
                  {"train", op_train}};

enum { OPERATION_COUNT = sizeof OPERATIONS / sizeof *OPERATIONS };

static const char *operation_names(void)
{
    enum { ROOM = 256 };
    char *text = take(ROOM, 1);
    int i, at = 0;
    for (i = 0; i < OPERATION_COUNT; i++)
        at += snprintf(text + at, (size_t)(ROOM - at), "%s%s", i ? " " : "", OPERATIONS[i].name);
    return text;
}

static void run_operation(void)
{
    const char *name = metadata("operation");
    int i;
    if (strcmp(name, "describe")) {
        const char *dtype = metadata("dtype"), *device = metadata("device");
        if (strcmp(dtype, "float32") && strcmp(dtype, "float64"))
            refuse("value", "dtype: got '%s'; expected float32 or float64", dtype);
        if (strcmp(device, "auto") && strcmp(device, "cpu"))
            refuse("value", "device: got '%s'; expected auto or cpu", device);
        response.narrow = !strcmp(dtype, "float32");
    }
    for (i = 0; i < OPERATION_COUNT; i++)
        if (!strcmp(name, OPERATIONS[i].name)) {
            OPERATIONS[i].run();
            return;
        }
    refuse("value", "operation: got '%s'; expected one of %s", name, operation_names());
}

static void answer_request(const char *from, const char *to)
{
    read_request(from, &request);
    memset(&response, 0, sizeof response);
    if (!setjmp(refusal))
        run_operation();
    write_response(to, &response);
    release();
}

/* Each line of stdin: the request's path, a tab, the response's path. Each is answered by the line `done`. */
static void serve(void)
{
    static char line[8192];
    while (fgets(line, sizeof line, stdin)) {
        char *tab = strchr(line, '\t'), *end = strchr(line, '\n');
        if (!tab || !end)
            broken("stdin", "expected a request's path, a tab, a response's path", "");
        *tab = *end = 0;
        answer_request(line, tab + 1);
        puts("done");
        fflush(stdout);
    }
}

int main(int count, char **arguments)
{
    if (count == 1) {
        serve();
        return 0;
    }
    if (count != 3) {
        fputs("usage: vae-speaker [REQUEST RESPONSE]\n", stderr);
        return 2;
    }
    answer_request(arguments[1], arguments[2]);
    return 0;
}
