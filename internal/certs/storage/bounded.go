package storage

import (
	"context"
	"time"
)

// Timeout bounds each operation of a Bounded storage but List and Lock.
const Timeout = 10 * time.Second

// Bounded returns s, whose operations end when it does not answer. How long Lock waits is
// up to its caller.
func Bounded(s Storage) Storage { return bounded{s} }

type bounded struct{ Storage }

// Store implements Storage.
func (b bounded) Store(ctx context.Context, key string, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return b.Storage.Store(ctx, key, value)
}

// Load implements Storage.
func (b bounded) Load(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return b.Storage.Load(ctx, key)
}

// Delete implements Storage.
func (b bounded) Delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return b.Storage.Delete(ctx, key)
}

// Exists implements Storage.
func (b bounded) Exists(ctx context.Context, key string) bool {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return b.Storage.Exists(ctx, key)
}

// Stat implements Storage.
func (b bounded) Stat(ctx context.Context, key string) (KeyInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return b.Storage.Stat(ctx, key)
}

// List implements Storage. It walks all there is, and may take longer than the others.
func (b bounded) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*Timeout)
	defer cancel()
	return b.Storage.List(ctx, prefix, recursive)
}

// Unlock implements Storage. It is called when its caller's context has ended, too.
func (b bounded) Unlock(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Timeout)
	defer cancel()
	return b.Storage.Unlock(ctx, name)
}
