/* Reads a request, runs its operation, writes the response.

   `vae-c REQUEST RESPONSE` answers one request; `vae-c` alone answers one for each line of stdin. */

#include "vae.h"

#include <stdio.h>
#include <string.h>

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
    adam_step(state, gradients, the_response.narrow);
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
        the_response.narrow = !strcmp(dtype, "float32");
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
    read_request(from, &the_request);
    memset(&the_response, 0, sizeof the_response);
    if (!setjmp(refusal))
        run_operation();
    write_response(to, &the_response);
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
        fputs("usage: vae-c [REQUEST RESPONSE]\n", stderr);
        return 2;
    }
    answer_request(arguments[1], arguments[2]);
    return 0;
}
