// SPDX-License-Identifier: GPL-2.0-only
/*
 * faulty.c - makes one mistake of the kind that the debug kernel is there to find.
 *
 *   insmod faulty.ko mistake=NAME
 *
 * Loading fails with EAGAIN when the mistake is made, so that the next can follow,
 * and with EINVAL for a name that is not in the table.
 */
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/timer.h>

static char *mistake = "";
module_param(mistake, charp, 0444);
MODULE_PARM_DESC(mistake, "which one to make");

static volatile char sink;

static void use_after_free(void)
{
	char *p = kmalloc(100, GFP_KERNEL);

	kfree(p);
	sink = p[50];
}

static void sleep_in_atomic(void)
{
	preempt_disable();
	might_sleep();
	preempt_enable();
}

static void cpu_while_preemptible(void)
{
	sink = smp_processor_id();
}

static void lock_order(void)
{
	static DEFINE_MUTEX(a);
	static DEFINE_MUTEX(b);

	mutex_lock(&a);
	mutex_lock(&b);
	mutex_unlock(&b);
	mutex_unlock(&a);
	mutex_lock(&b);
	mutex_lock(&a);
	mutex_unlock(&a);
	mutex_unlock(&b);
}

static void list_add_twice(void)
{
	LIST_HEAD(list);
	LIST_HEAD(entry);

	list_add(&entry, &list);
	list_add(&entry, &list);
}

static void nothing(struct timer_list *timer)
{
}

static void free_with_timer(void)
{
	struct timer_list *timer = kmalloc(sizeof(*timer), GFP_KERNEL);

	timer_setup(timer, nothing, 0);
	mod_timer(timer, jiffies + 1000 * HZ);
	kfree(timer);
}

static void leak(void)
{
	int i;

	/* Some of them: an old pointer on the stack may keep one from being seen. */
	for (i = 0; i < 10; i++)
		memset(kmalloc(100, GFP_KERNEL), i, 100);
}

static const struct {
	const char *name;
	void (*make)(void);
} mistakes[] = {
	{ "use-after-free", use_after_free },
	{ "sleep-in-atomic", sleep_in_atomic },
	{ "cpu-while-preemptible", cpu_while_preemptible },
	{ "lock-order", lock_order },
	{ "list-add-twice", list_add_twice },
	{ "free-with-timer", free_with_timer },
	{ "leak", leak },
};

static int __init faulty_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mistakes); i++) {
		if (!strcmp(mistakes[i].name, mistake)) {
			mistakes[i].make();
			return -EAGAIN;
		}
	}
	return -EINVAL;
}
module_init(faulty_init);

MODULE_DESCRIPTION("Mistakes for a kernel with checks");
MODULE_LICENSE("GPL");
