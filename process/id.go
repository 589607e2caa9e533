// SPDX-License-Identifier: Apache-2.0

package process

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"
)

// ID makes an id of parts, the same for the same parts: 120 bits of SHA-256 in 20 characters that are safe in URLs, as
// long as Elasticsearch's own ids. None begins with a dash, so that each can be typed as the argument of a command.
func ID(parts ...string) string {
	h := sha256.New()
	var size [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write([]byte(p))
	}
	id := base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:15])
	if id[0] == '-' {
		return "_" + id[1:]
	}
	return id
}

// EntityID is process.entity_id: the same process has the same one in every event. startTicks, the time of the fork in
// clock ticks since boot, counts where it is known; else start, the time of the program's start, to the millisecond.
func EntityID(hostID, bootID string, pid uint32, startTicks uint64, start time.Time) string {
	if startTicks != 0 {
		return ID("process", hostID, bootID, strconv.FormatUint(uint64(pid), 10), strconv.FormatUint(startTicks, 10))
	}
	return ID("program", hostID, strconv.FormatUint(uint64(pid), 10), strconv.FormatInt(start.UnixMilli(), 10))
}
