/* A QEMU plugin: how many instructions the guest has executed, as a uint64 in a file that others may
 * read meanwhile. `-plugin count_instructions.so,counter=FILE`; FILE exists and has eight bytes.
 *
 * Debian ships no header for plugins, so what is needed of version 1 of the interface (QEMU 4.2 to
 * 8.2) is declared here. The sum is not atomic: it is exact for a guest that computes in one thread.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

typedef uint64_t plugin_id;
struct block;
enum operation { ADD_U64 };
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct block *, enum operation, void *, uint64_t);

int qemu_plugin_version = 1;
static uint64_t *executed;

static void translated(plugin_id id, struct block *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, executed, qemu_plugin_tb_n_insns(block));
}

int qemu_plugin_install(plugin_id id, const void *about, int count, char **arguments)
{
    static const char name[] = "counter=";
    (void)about;
    if (count != 1 || strncmp(arguments[0], name, strlen(name)) != 0)
        return 1;
    int file = open(arguments[0] + strlen(name), O_RDWR);
    executed = mmap(NULL, sizeof *executed, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || executed == MAP_FAILED)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
