/* A TensorFlow Lite delegate for tests: fills the graph's outputs with a constant.
 *
 * Options: "value" is that constant; "take" = "none" leaves every operation alone; "start" =
 * "never" refuses to be made. Only the part of the C interface that is used is declared. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int size; int data[]; } Ints;

typedef struct {
    int32_t type;
    float *data;
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

/* The real one is shorter; both Arm and x86 calling conventions hand over structs of this size in
 * memory, where the receiver reads only as many fields as it knows. */
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

static float value;
static int takes;

static int invoke(Context *context, Node *node) {
    for (int i = 0; i < node->outputs->size; i++) {
        Tensor *output = &context->tensors[node->outputs->data[i]];
        for (size_t k = 0; k < output->bytes / sizeof(float); k++) output->data[k] = value;
    }
    return 0;
}

static int nothing(Context *context, Node *node) { return 0; }

static int prepare(Context *context, Delegate *delegate) {
    Ints *plan;
    Registration kernel = {.prepare = nothing, .invoke = invoke, .custom_name = "Constant"};
    if (!takes) return 0;
    if (context->plan(context, &plan)) return 1;
    return context->replace(context, kernel, plan, delegate);
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                        void (*report)(const char *)) {
    value = 0;
    takes = 1;
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(keys[i], "value")) value = strtof(values[i], NULL);
        if (!strcmp(keys[i], "take")) takes = strcmp(values[i], "none");
        if (!strcmp(keys[i], "start")) { report("no such device"); return NULL; }
    }
    Delegate *delegate = calloc(1, sizeof *delegate);
    delegate->prepare = prepare;
    return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
