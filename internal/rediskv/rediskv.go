package rediskv

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/fault"
)

// Options are what New takes.
type Options struct {
	// URL names the server: redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss:// for
	// TLS, unix://PATH. Parameters are those of go-redis.
	URL     string
	Prefix  string        // of all keys; default "terrane"
	Timeout time.Duration // of each operation, waiting for a connection included; default 5 s
	Quota   hostcalls.Quota
	Logger  *slog.Logger // of what the client says of its connections, for the whole process; nil discards
}

// Store is the state of all tenants. It is safe for concurrent use.
type Store struct {
	opts    Options
	client  *redis.Client
	scripts scripts
}

// Check returns every fault in o, joined: each is a *fault.Fault, whose key is that of
// the table [state].
func (o Options) Check() error {
	var f fault.List
	if _, err := redis.ParseURL(o.URL); err != nil { // it may show a password
		f.Add("url", "want the server, such as \"redis://127.0.0.1:6379/0\", with \"rediss://\" for TLS, or \"file:PATH\" of a file that has it")
	}
	return f.Err()
}

// New returns a Store. It connects at the first operation, and again when the connection
// was lost. Its error joins every fault of the options (Options.Check).
func New(o Options) (*Store, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	r, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Prefix == "" {
		o.Prefix = "terrane"
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	o.Quota = o.Quota.WithDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	redis.SetLogger(clientLog{o.Logger})
	r.DialerRetries = 1 // the next operation is the next attempt
	r.DialTimeout, r.ReadTimeout, r.WriteTimeout, r.PoolTimeout = o.Timeout, o.Timeout, o.Timeout, o.Timeout
	r.ContextTimeoutEnabled = true
	r.MaxRetries = -1 // a write whose answer was lost may have been done
	r.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &Store{opts: o, client: redis.NewClient(r), scripts: newScripts()}, nil
}

// clientLog is the log of the client, which has one for all.
type clientLog struct{ *slog.Logger }

// Printf implements the client's interface.
func (l clientLog) Printf(_ context.Context, format string, args ...any) {
	l.Debug("redis", "text", fmt.Sprintf(format, args...))
}

// Close closes the connections. Operations fail from then on.
func (s *Store) Close() error { return s.client.Close() }

// KV is the state of one tenant.
func (s *Store) KV(id string) hostcalls.KV {
	k := &kv{store: s}
	tag := s.opts.Prefix + ":{" + base64.RawURLEncoding.EncodeToString([]byte(id)) + "}:"
	for _, name := range []string{"meta", "vals", "keys", "exp", "use"} {
		k.keys = append(k.keys, tag+name)
	}
	return k
}

// Tenants are the ids of those that have any state.
func (s *Store) Tenants(ctx context.Context) (ids []string, err error) {
	const ending = "}:keys"
	begin := s.opts.Prefix + ":{"
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		page, cancel := context.WithTimeout(ctx, s.opts.Timeout)
		var keys []string
		keys, cursor, err = s.client.Scan(page, cursor, "*"+ending, 1000).Result()
		cancel()
		if err != nil {
			return nil, failed(err)
		}
		for _, key := range keys {
			token, ours := strings.CutPrefix(strings.TrimSuffix(key, ending), begin)
			if id, err := base64.RawURLEncoding.DecodeString(token); ours && err == nil {
				ids = append(ids, string(id))
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil // a scan may name a key twice
}

// kv is one tenant's.
type kv struct {
	store *Store
	keys  []string
}

// Get implements hostcalls.KV.
func (k *kv) Get(ctx context.Context, key string) (hostcalls.KVEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, k.store.opts.Timeout)
	defer cancel()
	var meta, value *redis.StringCmd
	_, err := k.store.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		meta, value = p.HGet(ctx, k.keys[0], key), p.HGet(ctx, k.keys[1], key)
		return nil
	})
	if errors.Is(err, redis.Nil) {
		return hostcalls.KVEntry{}, hostcalls.ErrNotFound
	}
	if err != nil {
		return hostcalls.KVEntry{}, failed(err)
	}
	e, err := parse(meta.Val())
	if err != nil {
		return hostcalls.KVEntry{}, fmt.Errorf("redis: key %.80q: %w", key, err)
	}
	if !e.Expires.IsZero() && !time.Now().Before(e.Expires) {
		return hostcalls.KVEntry{}, hostcalls.ErrNotFound
	}
	e.Value = []byte(value.Val())
	return e, nil
}

// Put implements hostcalls.KV.
func (k *kv) Put(ctx context.Context, key string, value []byte, at uint64, expires time.Time) (uint64, error) {
	us, ns := int64(0), int64(0)
	if !expires.IsZero() {
		ns = expires.UnixNano()
		us = (ns + 999) / 1000
	}
	q := k.store.opts.Quota
	n, err := k.run(ctx, k.store.scripts.put, key, value, at, us, ns, q.Bytes, q.Keys, hostcalls.KVEntryCost)
	if err != nil {
		return 0, err
	}
	return uint64(n), nil
}

// Delete implements hostcalls.KV.
func (k *kv) Delete(ctx context.Context, key string, at uint64) error {
	_, err := k.run(ctx, k.store.scripts.del, key, at)
	return err
}

// List implements hostcalls.KV.
func (k *kv) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if limit <= 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.store.opts.Timeout)
	defer cancel()
	from := "[" + prefix
	if after >= prefix {
		from = "(" + after
	}
	keys, err := k.store.scripts.list.Run(ctx, k.store.client, k.keys, "", time.Now().UnixMicro(), from, end(prefix), limit).StringSlice()
	if err != nil {
		return nil, failed(err)
	}
	return keys, nil
}

// run runs a script on a key, and makes its answer an error or a version.
func (k *kv) run(ctx context.Context, script *redis.Script, key string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, k.store.opts.Timeout)
	defer cancel()
	n, err := script.Run(ctx, k.store.client, k.keys, append([]any{key, time.Now().UnixMicro()}, args...)...).Int64()
	switch {
	case err != nil:
		return 0, failed(err)
	case n == answerConflict:
		return 0, hostcalls.ErrConflict
	case n == answerFull:
		return 0, hostcalls.ErrFull
	case n == answerAbsent:
		return 0, hostcalls.ErrNotFound
	}
	return n, nil
}

// end is the bound of ZRANGEBYLEX behind all keys that begin with prefix.
func end(prefix string) string {
	b := []byte(prefix)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return "+"
	}
	b[len(b)-1]++
	return "(" + string(b)
}

// parse reads what the put script has written.
func parse(meta string) (hostcalls.KVEntry, error) {
	f := strings.Fields(meta)
	if len(f) != 4 {
		return hostcalls.KVEntry{}, fmt.Errorf("an entry of another program: %.80q", meta)
	}
	version, err := strconv.ParseUint(f[0], 10, 64)
	if err != nil {
		return hostcalls.KVEntry{}, err
	}
	ns, err := strconv.ParseInt(f[2], 10, 64)
	e := hostcalls.KVEntry{Version: version}
	if ns != 0 {
		e.Expires = time.Unix(0, ns)
	}
	return e, err
}

func failed(err error) error { return fmt.Errorf("state in redis (state.url): %w", err) }
