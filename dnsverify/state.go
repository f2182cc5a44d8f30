package dnsverify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/terrane/terrane/tenant"
)

// maxState bounds the state file in bytes.
const maxState = 256 << 20

// state is the file of verified hosts.
type state struct {
	Version int         `json:"version"`
	Hosts   []savedHost `json:"hosts"`
}

type savedHost struct {
	Host      tenant.Host `json:"host"`
	Tenant    tenant.ID   `json:"tenant"`
	Reason    string      `json:"reason"`
	Confirmed time.Time   `json:"confirmed"`
	Used      int64       `json:"used"` // Unix seconds
}

// load fills the table from the state file. What it holds is due for a lookup at
// once. A file that cannot be read costs the hosts their standing in an outage
// and nothing else, so it is logged and left.
func (v *Verifier) load() {
	if v.opt.StatePath == "" {
		return
	}
	s, err := readState(v.opt.StatePath)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			v.opt.Logger.Warn("verified hosts not read, all are looked up anew", "path", v.opt.StatePath, "err", err)
		}
		return
	}
	now := time.Now()
	for _, sh := range s.Hosts {
		h, err := tenant.ParseHost(string(sh.Host))
		id, err2 := tenant.ParseID(string(sh.Tenant))
		if err != nil || err2 != nil || sh.Confirmed.After(now) || now.Sub(sh.Confirmed) >= v.opt.StaleFor {
			continue
		}
		e := &entry{
			verdict:   tenant.Verdict{Standing: tenant.Verified, Tenant: id, Reason: sh.Reason},
			confirmed: sh.Confirmed, refresh: now, expires: now,
		}
		e.used.Store(sh.Used)
		if v.known.put(h, e) {
			v.queue.push(h, now)
		}
	}
}

func readState(path string) (*state, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxState {
		return nil, fmt.Errorf("%d bytes, at most %d are read", info.Size(), maxState)
	}
	data, err := os.ReadFile(path) //nolint:gosec // the operator's own path
	if err != nil {
		return nil, err
	}
	s := new(state)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, err
	}
	if s.Version != 1 {
		return nil, fmt.Errorf("version %d, want 1", s.Version)
	}
	return s, nil
}

// save replaces the state file, whole or not at all.
func (v *Verifier) save() error {
	if v.opt.StatePath == "" {
		return nil
	}
	v.changed.Store(false)
	s := state{Version: 1, Hosts: []savedHost{}}
	v.known.each(func(h tenant.Host, e *entry) {
		s.Hosts = append(s.Hosts, savedHost{h, e.verdict.Tenant, e.verdict.Reason, e.confirmed, e.used.Load()})
	})
	data, err := json.Marshal(s)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(v.opt.StatePath), 0o700)
	}
	if err == nil {
		err = replaceFile(v.opt.StatePath, data)
	}
	if err != nil {
		v.changed.Store(true)
		return fmt.Errorf("dnsverify: save: %w", err)
	}
	return nil
}

func replaceFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
