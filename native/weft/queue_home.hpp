// A segment with one queue.
#pragma once

#include "queue.hpp"

namespace weft {

class QueueObject final : public QueueHome, public Queue {
public:
    // Of that kind: first in, first out, or a message queue's order.
    explicit QueueObject(uint32_t kind = kQueueKind) noexcept : Queue(static_cast<QueueHome&>(*this)), kind_(kind) {
        add(*this);
    }

    // spec.geometry holds units, limit, max_message and max_deliveries.
    Status create(const char* directory, const char* name, SegmentSpec spec, Failure& why) override;
    Status open(const char* directory, const char* name, Failure& why) override;
    uint64_t close() noexcept override;
    using Object::people;
    using Object::segment;
    using QueueHome::recover;

private:
    using Object::people_;
    using Object::segment_;

    const uint32_t kind_;
};

inline Status QueueObject::create(const char* directory, const char* name, SegmentSpec spec, Failure& why) {
    const QueueGeometry geometry = QueueGeometry::of(spec.geometry, kind_);
    spec.kind = kind_;
    spec.file_bytes = kObjectAt + geometry.bytes();
    spec.object_bytes = os::kPage;
    spec.prepare_bytes = Queue::prepared_bytes(geometry);
    spec.prepare = [](char* base, int fd, const SegmentSpec& self) -> int {
        return Queue::prepare(base, fd, kObjectAt, QueueGeometry::of(self.geometry, self.kind));
    };
    Status status = segment_.create(directory, name, spec, why);
    if (status != Status::ok) return status;
    bind(kObjectAt, geometry);
    return people_.join(segment_, why);
}

inline Status QueueObject::open(const char* directory, const char* name, Failure& why) {
    Status status = segment_.open(directory, name, why);
    if (status != Status::ok) return status;
    const SegmentHeader& header = segment_.header();
    if (header.kind != kind_) return Status::ok;  // the caller compares kinds and says so
    const QueueGeometry geometry = QueueGeometry::of(header.geometry, kind_);
    if (!geometry.is_sane() || header.file_bytes != kObjectAt + geometry.bytes() ||
        segment_.file_bytes() != header.file_bytes) {
        why.step = "reading the geometry";
        return Status::corrupted;
    }
    bind(kObjectAt, geometry);
    return rejoin(why);
}

inline uint64_t QueueObject::close() noexcept {
    if (!segment_.attached()) return 0;
    if (is_bound()) give_up();
    const uint64_t left = is_bound() ? depth() : 0;
    unbind();
    return detach() ? left : 0;
}

}  // namespace weft
