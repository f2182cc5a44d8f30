package memory

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limit is the memory of the machine, or of the smallest cgroup around this process if that is
// less. 0: it is unknown.
func Limit() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	total := int64(info.Totalram) * int64(info.Unit) // Totalram has 32 bits on some systems
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return total
	}
	return smallest("/sys/fs/cgroup", string(groups), total)
}

// smallest returns the least limit of the cgroups below root that a /proc/self/cgroup names, and
// of those around them. Within a container only a part of that path is there; the rest is skipped.
func smallest(root, groups string, least int64) int64 {
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		dir, file := root, "memory.max"
		switch {
		case parts[1] == "memory": // version 1
			dir, file = path.Join(root, "memory"), "memory.limit_in_bytes"
		case parts[0] != "0": // another controller of version 1
			continue
		}
		for group := path.Join("/", parts[2]); ; group = path.Dir(group) {
			text, err := os.ReadFile(path.Join(dir, group, file))                                                     //nolint:gosec // files of the kernel
			if n, bad := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64); err == nil && bad == nil && n > 0 { // else "max"
				least = min(least, n)
			}
			if group == "/" {
				break
			}
		}
	}
	return least
}
