package filesystem

import "github.com/terrane/terrane/hostcalls/wasi/abi"

const errorCodes = `error-code = enum{access, would-block, already, bad-descriptor, busy, deadlock, quota, exist, file-too-large,
	illegal-byte-sequence, in-progress, interrupted, invalid, io, is-directory, loop, too-many-links, message-size, name-too-long,
	no-device, no-entry, no-lock, insufficient-memory, insufficient-space, not-directory, not-empty, not-recoverable, unsupported,
	no-tty, no-such-device, overflow, not-permitted, pipe, read-only, invalid-seek, text-file-busy, cross-device}`

// Interfaces are those of wasi:filesystem.
func Interfaces() []abi.Interface {
	return []abi.Interface{{
		Name: "wasi:filesystem/preopens", Version: "0.2", Uses: "descriptor",
		Funcs: []abi.Func{{Name: "get-directories", Type: "func() -> list<tuple<descriptor, string>>", Do: getDirectories}},
	}, {
		Name: "wasi:filesystem/types", Version: "0.2",
		Uses: "input-stream output-stream error",
		Types: errorCodes + `
			filesize = u64
			link-count = u64
			datetime = record{seconds: u64, nanoseconds: u32}
			descriptor-type = enum{unknown, block-device, character-device, directory, fifo, symbolic-link, regular-file, socket}
			descriptor-flags = flags{read, write, file-integrity-sync, data-integrity-sync, requested-write-sync, mutate-directory}
			descriptor-stat = record{type: descriptor-type, link-count: link-count, size: filesize, data-access-timestamp: option<datetime>,
				data-modification-timestamp: option<datetime>, status-change-timestamp: option<datetime>}
			path-flags = flags{symlink-follow}
			open-flags = flags{create, directory, exclusive, truncate}
			new-timestamp = variant{no-change, now, timestamp(datetime)}
			directory-entry = record{type: descriptor-type, name: string}
			advice = enum{normal, sequential, random, will-need, dont-need, no-reuse}
			metadata-hash-value = record{lower: u64, upper: u64}`,
		Resources: []abi.ResourceType{abi.NewResource[*descriptor]("descriptor"), abi.NewResource[*entries]("directory-entry-stream")},
		Funcs: []abi.Func{
			{Name: "[method]descriptor.read-via-stream", Type: "func(self: borrow<descriptor>, offset: filesize) -> result<input-stream, error-code>", Do: readViaStream},
			{Name: "[method]descriptor.write-via-stream", Type: "func(self: borrow<descriptor>, offset: filesize) -> result<output-stream, error-code>", Do: readOnly},
			{Name: "[method]descriptor.append-via-stream", Type: "func(self: borrow<descriptor>) -> result<output-stream, error-code>", Do: readOnly},
			{Name: "[method]descriptor.advise", Type: "func(self: borrow<descriptor>, offset: filesize, length: filesize, advice: advice) -> result<_, error-code>", Do: nothing},
			{Name: "[method]descriptor.sync-data", Type: "func(self: borrow<descriptor>) -> result<_, error-code>", Do: nothing},
			{Name: "[method]descriptor.get-flags", Type: "func(self: borrow<descriptor>) -> result<descriptor-flags, error-code>", Do: getFlags},
			{Name: "[method]descriptor.get-type", Type: "func(self: borrow<descriptor>) -> result<descriptor-type, error-code>", Do: getType},
			{Name: "[method]descriptor.set-size", Type: "func(self: borrow<descriptor>, size: filesize) -> result<_, error-code>", Do: readOnly},
			{Name: "[method]descriptor.set-times", Type: "func(self: borrow<descriptor>, data-access-timestamp: new-timestamp, data-modification-timestamp: new-timestamp) -> result<_, error-code>", Do: readOnly},
			{Name: "[method]descriptor.read", Type: "func(self: borrow<descriptor>, length: filesize, offset: filesize) -> result<tuple<list<u8>, bool>, error-code>", Do: read},
			{Name: "[method]descriptor.write", Type: "func(self: borrow<descriptor>, buffer: list<u8>, offset: filesize) -> result<filesize, error-code>", Do: readOnly},
			{Name: "[method]descriptor.read-directory", Type: "func(self: borrow<descriptor>) -> result<directory-entry-stream, error-code>", Do: readDirectory},
			{Name: "[method]descriptor.sync", Type: "func(self: borrow<descriptor>) -> result<_, error-code>", Do: nothing},
			{Name: "[method]descriptor.create-directory-at", Type: "func(self: borrow<descriptor>, path: string) -> result<_, error-code>", Do: readOnly},
			{Name: "[method]descriptor.stat", Type: "func(self: borrow<descriptor>) -> result<descriptor-stat, error-code>", Do: stat},
			{Name: "[method]descriptor.stat-at", Type: "func(self: borrow<descriptor>, path-flags: path-flags, path: string) -> result<descriptor-stat, error-code>", Do: statAt},
			{Name: "[method]descriptor.set-times-at", Type: "func(self: borrow<descriptor>, path-flags: path-flags, path: string, data-access-timestamp: new-timestamp, data-modification-timestamp: new-timestamp) -> result<_, error-code>", Do: readOnly},
			{Name: "[method]descriptor.link-at", Type: "func(self: borrow<descriptor>, old-path-flags: path-flags, old-path: string, new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>", Do: readOnly},
			{Name: "[method]descriptor.open-at", Type: "func(self: borrow<descriptor>, path-flags: path-flags, path: string, open-flags: open-flags, flags: descriptor-flags) -> result<descriptor, error-code>", Do: openAt},
			{Name: "[method]descriptor.readlink-at", Type: "func(self: borrow<descriptor>, path: string) -> result<string, error-code>", Do: readlinkAt},
			{Name: "[method]descriptor.remove-directory-at", Type: "func(self: borrow<descriptor>, path: string) -> result<_, error-code>", Do: readOnly},
			{Name: "[method]descriptor.rename-at", Type: "func(self: borrow<descriptor>, old-path: string, new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>", Do: readOnly},
			{Name: "[method]descriptor.symlink-at", Type: "func(self: borrow<descriptor>, old-path: string, new-path: string) -> result<_, error-code>", Do: readOnly},
			{Name: "[method]descriptor.unlink-file-at", Type: "func(self: borrow<descriptor>, path: string) -> result<_, error-code>", Do: readOnly},
			{Name: "[method]descriptor.is-same-object", Type: "func(self: borrow<descriptor>, other: borrow<descriptor>) -> bool", Do: isSameObject},
			{Name: "[method]descriptor.metadata-hash", Type: "func(self: borrow<descriptor>) -> result<metadata-hash-value, error-code>", Do: metadataHash},
			{Name: "[method]descriptor.metadata-hash-at", Type: "func(self: borrow<descriptor>, path-flags: path-flags, path: string) -> result<metadata-hash-value, error-code>", Do: metadataHashAt},
			{Name: "[method]directory-entry-stream.read-directory-entry", Type: "func(self: borrow<directory-entry-stream>) -> result<option<directory-entry>, error-code>", Do: readDirectoryEntry},
			{Name: "filesystem-error-code", Type: "func(err: borrow<error>) -> option<error-code>", Do: errorCodeOf},
		},
	}}
}
