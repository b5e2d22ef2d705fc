/* A camera for tests, where the kernel has none: preloaded into a program, it answers the V4L2 calls on the
 * nodes of a folder.
 *
 *   V4L2_EMULATION=FOLDER LD_PRELOAD=./v4l2_emulation.so PROGRAM
 *
 * FOLDER/videoN        a text file: what the camera is (see `describe` below). Removing it unplugs the
 *                      camera, renaming it is plugging it in elsewhere.
 * FOLDER/videoN.fault  words: busy denied nospace freeze bad torn lossy hang. Read at every step.
 * FOLDER/frames/FORMAT_WxH/0, 1, …  the bytes of its pictures, given in turn at the rate that was set.
 *
 * A node's descriptor is one end of a socket pair in which one byte lies for each finished frame, so that
 * select and poll are the real ones. Two programs that want to set up the same camera are kept apart by a
 * lock on the file, as the kernel's uvcvideo keeps them apart.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MODES = 32, RATES = 8, BUFFERS = 8, HANDLES = 64, STEP = 1 << 24 };

struct mode {
    __u32 format, width, height, rates, rate[RATES];
    __u32 range[6], slowest, fastest; /* of "range": min, max, step of width and height */
};

struct buffer {
    int memory;
    unsigned char *bytes;
    int queued, done;
    __u32 used, sequence, flags;
    struct timespec taken;
};

struct handle {
    int fd, far, lock;
    char path[512], folder[512];
    char card[32], driver[16], bus[32];
    __u32 caps, padding, lies, unstamped, unlisted;
    struct mode mode[MODES];
    __u32 modes, current, numerator, denominator;
    __u32 width, height;
    struct buffer buffer[BUFFERS];
    __u32 buffers, size, sequence, frames;
    int line[BUFFERS], waiting; /* indexes of finished buffers, oldest first */
    int streaming, gone;
    pid_t owner;
    pthread_t camera;
};

/* a camera remembers its exposure from one opening to the next */
static struct { char path[512]; int known, automatic, time, low, high; } exposures[HANDLES];
static struct handle *handles[HANDLES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }
static int real_open(const char *path, int flags) {
    return ((int (*)(const char *, int, ...))next("open"))(path, flags | O_CLOEXEC, 0);
}
static int real_close(int fd) { return ((int (*)(int))next("close"))(fd); }

static int find(int fd) {
    for (int i = 0; i < HANDLES; i++)
        if (handles[i] && handles[i]->fd == fd) return i;
    return -1;
}

static __u32 code(const char *name) { return v4l2_fourcc(name[0], name[1], name[2], name[3]); }

static int fault(const char *path, const char *word) {
    char name[600], text[256] = "";
    snprintf(name, sizeof name, "%s.fault", path);
    int fd = real_open(name, O_RDONLY);
    if (fd < 0) return 0;
    if (read(fd, text, sizeof text - 1) < 0) text[0] = 0;
    real_close(fd);
    return strstr(text, word) != NULL;
}

/* The lines of a node's file. */
static int describe(struct handle *h) {
    char text[8192] = "", *line, *rest = text, format[8], word[32];
    int fd = real_open(h->path, O_RDONLY);
    if (fd < 0) return -1;
    ssize_t length = read(fd, text, sizeof text - 1);
    real_close(fd);
    if (length < 0) return -1;
    h->caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
    while ((line = strsep(&rest, "\n"))) {
        struct mode *m = &h->mode[h->modes];
        __u32 *r = m->rate, *g = m->range;
        int automatic, time, low, high;
        sscanf(line, "card %31[^\n]", h->card);
        sscanf(line, "driver %15s", h->driver);
        sscanf(line, "bus %31s", h->bus);
        sscanf(line, "padding %u", &h->padding); /* bytes after each row of a raw picture */
        sscanf(line, "lies %u", &h->lies);       /* the rate it gives, whatever is asked */
        if (!strcmp(line, "unstamped")) h->unstamped = 1; /* frames without a time on a known clock */
        if (!strcmp(line, "unlisted")) h->unlisted = 1;   /* lists no sizes and rates */
        if (sscanf(line, "caps %31s", word) == 1)
            h->caps = !strcmp(word, "metadata") ? V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING
                                                : V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_STREAMING;
        if (sscanf(line, "exposure %d %d %d %d", &automatic, &time, &low, &high) == 4)
            for (int i = 0; i < HANDLES; i++) {
                if (exposures[i].known && strcmp(exposures[i].path, h->path)) continue;
                if (!exposures[i].known) {
                    strcpy(exposures[i].path, h->path);
                    exposures[i].known = 1, exposures[i].automatic = automatic;
                    exposures[i].time = time, exposures[i].low = low, exposures[i].high = high;
                }
                break;
            }
        int n = sscanf(line, "mode %4s %u %u %u %u %u %u", format, &m->width, &m->height, r, r + 1, r + 2, r + 3);
        if (n >= 4 && h->modes < MODES - 1) m->rates = n - 3, m->format = code(format), h->modes++;
        n = sscanf(line, "range %4s %u %u %u %u %u %u %u %u", format, g, g + 1, g + 2, g + 3, g + 4, g + 5,
                   &m->slowest, &m->fastest);
        if (n == 9) m->format = code(format), m->width = g[1], m->height = g[4], m->rates = 0, h->modes++;
    }
    h->numerator = 1, h->denominator = h->mode[0].rates ? h->mode[0].rate[0] : 30;
    h->width = h->mode[0].width, h->height = h->mode[0].height;
    return 0;
}

static int open_node(const char *path, int flags) {
    if (fault(path, "denied")) return errno = EACCES, -1;
    struct handle *h = calloc(1, sizeof *h);
    snprintf(h->path, sizeof h->path, "%s", path);
    snprintf(h->folder, sizeof h->folder, "%s", path);
    *strrchr(h->folder, '/') = 0;
    int ends[2];
    h->lock = -1;
    if (describe(h) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) return free(h), -1;
    (void)flags;
    h->fd = ends[0], h->far = ends[1], h->owner = getpid();
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < HANDLES; i++)
        if (!handles[i]) {
            handles[i] = h;
            break;
        }
    pthread_mutex_unlock(&mutex);
    return h->fd;
}

/* Whether this handle may set the camera up; it keeps others from it until its buffers are freed. */
static int privileged(struct handle *h) {
    if (fault(h->path, "busy")) return errno = EBUSY, 0;
    if (h->lock >= 0) return 1;
    int fd = real_open(h->path, O_RDONLY);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB)) {
        if (fd >= 0) real_close(fd);
        return errno = EBUSY, 0;
    }
    h->lock = fd;
    return 1;
}

static void fill(struct handle *h, struct buffer *b) {
    char name[700];
    const __u32 f = h->mode[h->current].format;
    snprintf(name, sizeof name, "%s/frames/%.4s_%ux%u/%u", h->folder, (const char *)&f, h->width, h->height,
             h->sequence % h->frames);
    int fd = real_open(name, O_RDONLY);
    ssize_t length = fd < 0 ? 0 : read(fd, b->bytes, h->size);
    if (fd >= 0) real_close(fd);
    b->used = length < 0 ? 0 : (__u32)length, b->flags = 0;
    if (fault(h->path, "bad") && h->sequence % 3 == 1) b->used /= 50; /* a JPEG without most of it */
    if (fault(h->path, "torn") && h->sequence % 3 == 1) b->flags = V4L2_BUF_FLAG_ERROR;
}

/* The sensor: one picture each 1/rate s, into a buffer that is queued, or lost. */
static void *film(void *argument) {
    struct handle *h = argument;
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    pthread_mutex_lock(&mutex);
    while (h->streaming) {
        long step = 1000000000L / h->denominator * h->numerator;
        due.tv_nsec += step;
        due.tv_sec += due.tv_nsec / 1000000000L, due.tv_nsec %= 1000000000L;
        while (h->streaming && pthread_cond_clockwait(&wake, &mutex, CLOCK_MONOTONIC, &due) != ETIMEDOUT);
        if (!h->streaming) break;
        if (access(h->path, F_OK)) {
            h->gone = 1;
            shutdown(h->far, SHUT_RDWR); /* who waits is woken, as by the kernel */
            break;
        }
        if (fault(h->path, "freeze")) continue;
        int lost = fault(h->path, "lossy") && h->sequence % 4 == 3;
        for (__u32 i = 0; i < h->buffers && !lost; i++)
            if (h->buffer[i].queued) {
                struct buffer *b = &h->buffer[i];
                fill(h, b);
                b->queued = 0, b->done = 1, b->sequence = h->sequence, b->taken = due;
                h->line[h->waiting++] = (int)i;
                if (write(h->far, "f", 1) != 1) h->gone = 1;
                break;
            }
        h->sequence++;
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void stop(struct handle *h) { /* with the mutex held */
    if (h->streaming) {
        h->streaming = 0;
        pthread_cond_broadcast(&wake);
        pthread_mutex_unlock(&mutex);
        pthread_join(h->camera, NULL);
        pthread_mutex_lock(&mutex);
    }
    char byte;
    while (h->waiting && recv(h->fd, &byte, 1, MSG_DONTWAIT) == 1) h->waiting--;
    h->waiting = 0;
    for (__u32 i = 0; i < h->buffers; i++) h->buffer[i].queued = h->buffer[i].done = 0;
}

static void free_buffers(struct handle *h) {
    for (__u32 i = 0; i < h->buffers; i++) {
        munmap(h->buffer[i].bytes, h->size);
        real_close(h->buffer[i].memory);
    }
    memset(h->buffer, 0, sizeof h->buffer);
    h->buffers = 0;
    if (h->lock >= 0) real_close(h->lock);
    h->lock = -1;
}

static int set_format(struct handle *h, struct v4l2_pix_format *p) {
    __u32 best = 0;
    double least = 1e18;
    for (__u32 i = 0; i < h->modes; i++) { /* the nearest of that format, else the first */
        struct mode *m = &h->mode[i];
        double area = (double)m->width * m->height - (double)p->width * p->height;
        double far = (m->format == p->pixelformat ? 0 : 1e12) + (area < 0 ? -area : area);
        if (far < least) least = far, best = i;
    }
    h->current = best, h->width = h->mode[best].width, h->height = h->mode[best].height;
    if (h->mode[best].range[1] && p->width <= h->mode[best].range[1] && p->width >= h->mode[best].range[0])
        h->width = p->width, h->height = p->height;
    return 0;
}

static void get_format(struct handle *h, struct v4l2_pix_format *p) {
    __u32 f = h->mode[h->current].format;
    int packed = f == V4L2_PIX_FMT_YUYV || f == V4L2_PIX_FMT_UYVY;
    __u32 row = f == V4L2_PIX_FMT_MJPEG ? 0 : h->width * (packed ? 2 : 1) + h->padding;
    memset(p, 0, sizeof *p);
    p->width = h->width, p->height = h->height, p->pixelformat = f, p->field = V4L2_FIELD_NONE;
    p->bytesperline = row, p->sizeimage = row ? row * h->height * 3 / 2 : h->width * h->height * 2;
    p->colorspace = V4L2_COLORSPACE_SRGB;
}

static int request(struct handle *h, struct v4l2_requestbuffers *r) {
    if (!privileged(h)) return -1;
    free_buffers(h);
    if (!r->count) return 0;
    if (!privileged(h)) return -1;
    struct v4l2_pix_format p;
    get_format(h, &p);
    h->size = (p.sizeimage + 4095) / 4096 * 4096;
    if (r->count < 2) r->count = 2;
    if (r->count > BUFFERS) r->count = BUFFERS;
    for (h->buffers = 0; h->buffers < r->count; h->buffers++) {
        struct buffer *b = &h->buffer[h->buffers];
        b->memory = memfd_create("frame", MFD_CLOEXEC);
        if (b->memory < 0 || ftruncate(b->memory, h->size)) return errno = ENOMEM, -1;
        b->bytes = ((void *(*)(void *, size_t, int, int, int, off_t))next("mmap"))(
            NULL, h->size, PROT_READ | PROT_WRITE, MAP_SHARED, b->memory, 0);
    }
    return 0;
}

static int start(struct handle *h) {
    char name[700];
    const __u32 f = h->mode[h->current].format;
    if (fault(h->path, "nospace")) return errno = ENOSPC, -1;
    for (h->frames = 0;; h->frames++) {
        snprintf(name, sizeof name, "%s/frames/%.4s_%ux%u/%u", h->folder, (const char *)&f, h->width, h->height,
                 h->frames);
        if (access(name, R_OK)) break;
    }
    if (!h->frames) {
        fprintf(stderr, "v4l2_emulation: no frames at %s\n", name);
        abort();
    }
    h->streaming = 1, h->sequence = 0;
    return pthread_create(&h->camera, NULL, film, h) ? (errno = ENOMEM, -1) : 0;
}

static int dequeue(struct handle *h, struct v4l2_buffer *v) {
    char byte;
    if (!h->streaming || v->memory != V4L2_MEMORY_MMAP) return errno = EINVAL, -1;
    if (!h->waiting || recv(h->fd, &byte, 1, MSG_DONTWAIT) != 1) return errno = EAGAIN, -1;
    int index = h->line[0];
    memmove(h->line, h->line + 1, --h->waiting * sizeof h->line[0]);
    struct buffer *b = &h->buffer[index];
    b->done = 0;
    v->index = index, v->bytesused = b->used, v->sequence = b->sequence, v->field = V4L2_FIELD_NONE;
    v->flags = b->flags | V4L2_BUF_FLAG_MAPPED | (h->unstamped ? 0 : V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC);
    v->timestamp.tv_sec = h->unstamped ? 1 : b->taken.tv_sec;
    v->timestamp.tv_usec = h->unstamped ? 0 : b->taken.tv_nsec / 1000;
    v->m.offset = index * STEP, v->length = h->size;
    return 0;
}

static int list_rates(struct handle *h, struct v4l2_frmivalenum *v) {
    for (__u32 i = 0; i < h->modes && !h->unlisted; i++) {
        struct mode *m = &h->mode[i];
        if (m->format != v->pixel_format) continue;
        if (m->range[1] && v->index == 0) {
            v->type = V4L2_FRMIVAL_TYPE_CONTINUOUS;
            v->stepwise.min.numerator = 1, v->stepwise.min.denominator = m->fastest;
            v->stepwise.max.numerator = 1, v->stepwise.max.denominator = m->slowest;
            v->stepwise.step.numerator = v->stepwise.step.denominator = 1;
            return 0;
        }
        if (m->width == v->width && m->height == v->height && v->index < m->rates) {
            v->type = V4L2_FRMIVAL_TYPE_DISCRETE;
            v->discrete.numerator = 1, v->discrete.denominator = m->rate[v->index];
            return 0;
        }
    }
    return errno = EINVAL, -1;
}

static int list_sizes(struct handle *h, struct v4l2_frmsizeenum *v) {
    __u32 seen = 0;
    for (__u32 i = 0; i < h->modes && !h->unlisted; i++) {
        struct mode *m = &h->mode[i];
        if (m->format != v->pixel_format || seen++ != v->index) continue;
        v->type = m->range[1] ? V4L2_FRMSIZE_TYPE_STEPWISE : V4L2_FRMSIZE_TYPE_DISCRETE;
        if (m->range[1]) memcpy(&v->stepwise, m->range, sizeof m->range);
        else v->discrete.width = m->width, v->discrete.height = m->height;
        return 0;
    }
    return errno = EINVAL, -1;
}

static int list_formats(struct handle *h, struct v4l2_fmtdesc *v) {
    __u32 seen = 0;
    for (__u32 i = 0; i < h->modes; i++) {
        __u32 before = 0;
        while (before < i && h->mode[before].format != h->mode[i].format) before++;
        if (before < i || seen++ != v->index) continue;
        v->pixelformat = h->mode[i].format;
        snprintf((char *)v->description, sizeof v->description, "%.4s", (char *)&h->mode[i].format);
        return 0;
    }
    return errno = EINVAL, -1;
}

static int set_rate(struct handle *h, struct v4l2_captureparm *c) {
    struct mode *m = &h->mode[h->current];
    double asked = c->timeperframe.numerator
                       ? (double)c->timeperframe.denominator / c->timeperframe.numerator : 30, least = 1e9;
    h->numerator = 1;
    if (m->range[1]) h->denominator = (__u32)(asked + 0.5);
    for (__u32 i = 0; i < m->rates; i++) {
        double far = asked > m->rate[i] ? asked - m->rate[i] : m->rate[i] - asked;
        if (far < least) least = far, h->denominator = m->rate[i];
    }
    if (h->lies) h->denominator = h->lies;
    return 0;
}

static int control(struct handle *h, unsigned long call, void *argument) {
    int i = 0;
    while (i < HANDLES && strcmp(exposures[i].path, h->path)) i++;
    if (i == HANDLES || !exposures[i].known) return errno = EINVAL, -1;
    struct v4l2_control *c = argument;
    struct v4l2_queryctrl *q = argument;
    int is_time = c->id == V4L2_CID_EXPOSURE_ABSOLUTE; /* the number comes first in both */
    if (!is_time && c->id != V4L2_CID_EXPOSURE_AUTO) return errno = EINVAL, -1;
    if (call == VIDIOC_QUERYCTRL) {
        q->minimum = is_time ? exposures[i].low : 0, q->maximum = is_time ? exposures[i].high : 3;
        q->step = 1, q->flags = 0, q->type = is_time ? V4L2_CTRL_TYPE_INTEGER : V4L2_CTRL_TYPE_MENU;
    } else if (call == VIDIOC_G_CTRL) {
        c->value = is_time ? exposures[i].time : exposures[i].automatic;
    } else if (is_time) {
        if (exposures[i].automatic != V4L2_EXPOSURE_MANUAL) return errno = EACCES, -1;
        if (c->value < exposures[i].low || c->value > exposures[i].high) return errno = ERANGE, -1;
        exposures[i].time = c->value;
    } else { /* as uvcvideo: manual and aperture priority */
        if (c->value != V4L2_EXPOSURE_MANUAL && c->value != V4L2_EXPOSURE_APERTURE_PRIORITY)
            return errno = EINVAL, -1;
        exposures[i].automatic = c->value;
    }
    return 0;
}

static int answer(struct handle *h, unsigned long call, void *argument) {
    struct v4l2_capability *cap = argument;
    struct v4l2_format *format = argument;
    struct v4l2_buffer *v = argument;
    struct v4l2_streamparm *parameters = argument;
    if (h->gone || access(h->path, F_OK)) return errno = ENODEV, -1;
    switch (call) {
    case VIDIOC_QUERYCAP:
        memset(cap, 0, sizeof *cap);
        memcpy(cap->driver, h->driver, sizeof h->driver), memcpy(cap->card, h->card, sizeof h->card);
        memcpy(cap->bus_info, h->bus, sizeof h->bus);
        cap->device_caps = h->caps; /* the whole device can do both, this node what device_caps says */
        cap->capabilities = h->caps | V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_META_CAPTURE | V4L2_CAP_DEVICE_CAPS;
        return 0;
    case VIDIOC_ENUM_FMT: return list_formats(h, argument);
    case VIDIOC_ENUM_FRAMESIZES: return list_sizes(h, argument);
    case VIDIOC_ENUM_FRAMEINTERVALS: return list_rates(h, argument);
    case VIDIOC_S_FMT:
        if (h->buffers) return errno = EBUSY, -1;
        if (!privileged(h)) return -1;
        set_format(h, &format->fmt.pix); /* fall through */
    case VIDIOC_G_FMT: return get_format(h, &format->fmt.pix), 0;
    case VIDIOC_S_PARM:
        if (h->streaming) return errno = EBUSY, -1;
        if (!privileged(h)) return -1;
        set_rate(h, &parameters->parm.capture); /* fall through */
    case VIDIOC_G_PARM:
        parameters->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        parameters->parm.capture.timeperframe.numerator = h->numerator;
        parameters->parm.capture.timeperframe.denominator = h->denominator;
        return 0;
    case VIDIOC_REQBUFS: return h->streaming ? (errno = EBUSY, -1) : request(h, argument);
    case VIDIOC_QUERYBUF:
        if (v->index >= h->buffers) return errno = EINVAL, -1;
        v->length = h->size, v->m.offset = v->index * STEP, v->flags = 0;
        return 0;
    case VIDIOC_QBUF:
        if (v->index >= h->buffers || h->buffer[v->index].queued || h->buffer[v->index].done)
            return errno = EINVAL, -1;
        h->buffer[v->index].queued = 1;
        return 0;
    case VIDIOC_DQBUF: return dequeue(h, argument);
    case VIDIOC_STREAMON: return h->streaming ? 0 : h->buffers ? start(h) : (errno = EINVAL, -1);
    case VIDIOC_STREAMOFF: return stop(h), 0;
    case VIDIOC_QUERYCTRL:
    case VIDIOC_G_CTRL:
    case VIDIOC_S_CTRL: return control(h, call, argument);
    }
    return errno = ENOTTY, -1;
}

static int ours(const char *path) {
    const char *folder = getenv("V4L2_EMULATION"), *name = strrchr(path, '/');
    if (!folder || !name || strncmp(name, "/video", 6) || strchr(name, '.')) return 0;
    return (size_t)(name - path) == strlen(folder) && !strncmp(path, folder, name - path);
}

#define OPEN(NAME)                                                                             \
    int NAME(const char *path, int flags, ...) {                                               \
        va_list rest;                                                                          \
        va_start(rest, flags);                                                                 \
        int permissions = va_arg(rest, int);                                                   \
        va_end(rest);                                                                          \
        if (ours(path) && (flags & O_ACCMODE) == O_RDWR) return open_node(path, flags);        \
        return ((int (*)(const char *, int, ...))next(#NAME))(path, flags, permissions);       \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    pthread_mutex_lock(&mutex);
    int i = find(fd);
    if (i >= 0 && handles[i]->owner == getpid()) { /* a child of vfork closes its own copies, in our memory */
        struct handle *h = handles[i];
        handles[i] = NULL;
        stop(h);
        free_buffers(h);
        real_close(h->far);
        free(h);
    }
    pthread_mutex_unlock(&mutex);
    return real_close(fd);
}

int ioctl(int fd, unsigned long call, ...) {
    va_list rest;
    va_start(rest, call);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    pthread_mutex_lock(&mutex);
    int i = find(fd);
    if (i < 0) {
        pthread_mutex_unlock(&mutex);
        return ((int (*)(int, unsigned long, ...))next("ioctl"))(fd, call, argument);
    }
    int hangs = (__u32)call == VIDIOC_STREAMOFF && handles[i]->streaming && fault(handles[i]->path, "hang");
    if (hangs) {
        pthread_mutex_unlock(&mutex);
        sleep(6);
        pthread_mutex_lock(&mutex);
    }
    int result = answer(handles[i], (__u32)call, argument);
    int error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
    return result;
}

#define MMAP(NAME)                                                                                      \
    void *NAME(void *at, size_t length, int protection, int flags, int fd, off_t offset) {              \
        if (fd >= 0) {                                                                                  \
            pthread_mutex_lock(&mutex);                                                                 \
            int i = find(fd);                                                                           \
            if (i >= 0) {                                                                               \
                fd = handles[i]->buffer[offset / STEP].memory;                                          \
                offset = 0;                                                                             \
            }                                                                                           \
            pthread_mutex_unlock(&mutex);                                                               \
        }                                                                                               \
        return ((void *(*)(void *, size_t, int, int, int, off_t))next(#NAME))(at, length, protection,   \
                                                                              flags, fd, offset);       \
    }
MMAP(mmap)
MMAP(mmap64)
