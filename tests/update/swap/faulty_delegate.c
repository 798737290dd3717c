/* A TensorFlow Lite delegate that computes something of a picture's bytes, and does harm in a model
 * whose output is named FAULT once the file of the option "trigger" is there: option "fault" is
 * "segfault", "hang", "leak" (4 MB a frame) or "slow". See tests/unit/backend_delegate.c. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { int size; int data[]; } Ints;

typedef struct {
    int32_t type;
    unsigned char *data;
    Ints *shape;
    struct { float scale; int32_t zero_point; } params;
    int32_t allocation_type;
    size_t bytes;
    const void *allocation;
    const char *name;
    void *delegate;
    int buffer_handle;
    _Bool data_is_stale, is_variable;
    struct { int32_t type; void *params; } quantization;
    void *sparsity;
    const Ints *shape_signature;
} Tensor;

typedef struct { Ints *inputs, *outputs, *intermediates, *temporaries; void *user_data; } Node;
typedef struct Context Context;

typedef struct {
    void *(*init)(Context *, const char *, size_t);
    void (*free)(Context *, void *);
    int (*prepare)(Context *, Node *);
    int (*invoke)(Context *, Node *);
    const char *(*profiling_string)(const Context *, const Node *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *rest[8];
} Registration;

typedef struct Delegate {
    void *data;
    int (*prepare)(Context *, struct Delegate *);
    void *copy_from, *copy_to, *release;
    int64_t flags;
    void *builder;
} Delegate;

struct Context {
    size_t tensor_count;
    int (*plan)(Context *, Ints **);
    Tensor *tensors;
    void *impl;
    void *resize, *report, *add_tensors, *node;
    int (*replace)(Context *, Registration, const Ints *, Delegate *);
};

enum { PICTURE = 64 * 64 * 3, LEAK = 4 << 20 };

static char fault[32], trigger[512];
static void *volatile kept; /* or the compiler leaves the leak out */

static void harm(void) {
    if (!strcmp(fault, "segfault")) *(volatile int *)0 = 1;
    while (!strcmp(fault, "hang")) sleep(1);
    if (!strcmp(fault, "leak")) memset(kept = malloc(LEAK), 1, LEAK);
    if (!strcmp(fault, "slow")) usleep(60000);
}

static int invoke(Context *context, Node *node) {
    unsigned sum = 0;
    for (int i = 0; i < node->inputs->size; i++) {
        Tensor *input = &context->tensors[node->inputs->data[i]];
        if (input->bytes != PICTURE) continue;
        for (size_t k = 0; k < PICTURE; k++) sum += input->data[k] * (1 + k % 7);
    }
    for (int i = 0; i < node->outputs->size; i++) {
        Tensor *output = &context->tensors[node->outputs->data[i]];
        if (strstr(output->name, "FAULT") && !access(trigger, F_OK)) harm();
        for (size_t k = 0; k < output->bytes; k++) output->data[k] = (sum >> k) & 0x7f;
    }
    return 0;
}

static int nothing(Context *context, Node *node) { return 0; }

static int prepare(Context *context, Delegate *delegate) {
    Ints *plan;
    Registration kernel = {.prepare = nothing, .invoke = invoke, .custom_name = "Faulty"};
    if (context->plan(context, &plan)) return 1;
    return context->replace(context, kernel, plan, delegate);
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                        void (*report)(const char *)) {
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(keys[i], "fault")) strncpy(fault, values[i], sizeof fault - 1);
        if (!strcmp(keys[i], "trigger")) strncpy(trigger, values[i], sizeof trigger - 1);
    }
    Delegate *delegate = calloc(1, sizeof *delegate);
    delegate->prepare = prepare;
    return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
