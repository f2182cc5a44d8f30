package lattice

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/terrane/terrane/internal/dirlock"
	"github.com/terrane/terrane/internal/fault"
)

// A server alone and one of a cluster keep streams of the same names in the same folder.
// NATS opens either as what the configuration asks for: the streams of a server alone then
// answer next to those of the cluster until they are deleted, and edges of one cluster have
// different state. So the folder says whose it is, and is never opened as something else.
const (
	memberFile = "member.json"
	asideOld   = "forgotten-" // before a time: copies of a cluster that had forgotten this edge
	asideStamp = "20060102T150405Z"
)

// membership is what the folder of a cluster's edge says.
type membership struct {
	Cluster string `json:"cluster"`
	Edge    string `json:"edge"`
	Joined  bool   `json:"joined,omitempty"`  // the cluster has had it as a member
	Settled bool   `json:"settled,omitempty"` // it has had the cluster's state
	Removal string `json:"removal,omitempty"` // see Standing
}

// folder is what a folder of streams holds.
type folder struct {
	member  *membership // nil: it does not say
	cluster bool        // the log of a cluster's members
	streams bool
}

func readFolder(dir string) (f folder, err error) {
	data, err := os.ReadFile(filepath.Join(dir, memberFile)) //nolint:gosec // the operator's own data folder
	switch {
	case err == nil:
		if m := new(membership); json.Unmarshal(data, m) == nil { // a broken one is as good as none
			f.member = m
		}
	case !errors.Is(err, fs.ErrNotExist):
		return f, err
	}
	streams := filepath.Join(dir, server.JetStreamStoreDir)
	_, err = os.Stat(filepath.Join(streams, "$SYS", "_js_", "_meta_"))
	f.cluster = err == nil
	entries, err := os.ReadDir(filepath.Join(streams, "$G", "streams"))
	f.streams = len(entries) > 0
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return f, err
}

// CheckDir returns why the folder must not be used with the options, as a *fault.Fault,
// nil if it may be. It only reads. A folder that this user may not read is left to Run.
func CheckDir(o Options) error {
	if o.Dir == "" || len(o.URLs) > 0 {
		return nil
	}
	f, err := readFolder(o.Dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	o.setDefaults()
	refuse := func(key, format string, args ...any) error {
		return &fault.Fault{Key: key, Err: fmt.Errorf(format, args...)}
	}
	clustered := o.Cluster.Listen != ""
	switch {
	case err != nil:
		return refuse("dir", "%w", err)
	case clustered && f.alone():
		return refuse("cluster.listen", "%s has the state of an edge alone, which a cluster does not take over: move it with \"terrane lattice grow\" (docs/state.md, \"Moving state\")", o.Dir)
	case !clustered && (f.cluster || f.member != nil && f.streams):
		return refuse("cluster.listen", "%s has this edge's copies of a cluster's state, which an edge alone must not serve: configure lattice.cluster again, or set them aside with \"terrane lattice reset\"", o.Dir)
	case clustered && f.member != nil && f.member.Cluster != o.Cluster.Name:
		return refuse("cluster.name", "%s has this edge's copies of the cluster %q, and the configuration is of %q: set them aside with \"terrane lattice reset\", or keep the name", o.Dir, f.member.Cluster, o.Cluster.Name)
	case clustered && f.member != nil && f.member.Edge != o.Name:
		return refuse("name", "%s has the copies of the cluster's edge %q, and edge.name is %q: an edge with another name is another member; set the copies aside with \"terrane lattice reset\", or keep the name", o.Dir, f.member.Edge, o.Name)
	}
	return nil
}

// Alone reports whether a folder has the state of an edge that was alone.
func Alone(dir string) (bool, error) {
	f, err := readFolder(dir)
	return f.alone(), err
}

// alone reports whether a server alone has written the streams.
func (f *folder) alone() bool { return f.streams && !f.cluster && f.member == nil }

// enter notes that the folder is that of the cluster's edge, before the server opens it. The
// copies of an edge that was forgotten are set aside: the others have them, or newer ones.
func (l *Lattice) enter() error {
	if !l.Clustered() {
		return nil
	}
	l.standing.Lock()
	defer l.standing.Unlock()
	f, err := readFolder(l.opts.Dir)
	if err != nil {
		return err
	}
	if f.member != nil && (l.forgotten.Load() || f.streams && !f.cluster) {
		old, err := filepath.Glob(filepath.Join(l.opts.Dir, asideOld+"*"))
		for _, dir := range old {
			err = errors.Join(err, os.RemoveAll(dir))
		}
		to, moved := setAside(l.opts.Dir, asideOld)
		if err := errors.Join(err, moved); err != nil {
			return err
		}
		l.log.Warn("this edge was forgotten by its cluster: it joins as a new one", "old_copies", to)
		f = folder{}
	}
	l.forgotten.Store(false)
	if f.member == nil { // a folder of an older version has none
		return l.writeStanding(Standing{Joined: f.cluster, Settled: f.cluster})
	}
	return nil
}

// Standing is how far this edge has come as a member of its cluster. It lasts over restarts.
type Standing struct {
	Joined  bool // the cluster has had it as a member
	Settled bool // it has had the cluster's state
	// Removal identifies the newest removal of an edge of this name at the time it joined,
	// empty if there was none. A newer one means that this edge was removed since.
	Removal string
}

// Standing returns the zero value for a folder that cannot be read.
func (l *Lattice) Standing() (s Standing) {
	if f, err := readFolder(l.opts.Dir); err == nil && f.member != nil {
		s = Standing{f.member.Joined, f.member.Settled, f.member.Removal}
	}
	return s
}

// Join records that the cluster has this edge as a member, after a removal.
func (l *Lattice) Join(removal string) error {
	l.standing.Lock()
	defer l.standing.Unlock()
	s := l.Standing()
	s.Joined, s.Removal = true, removal
	return l.writeStanding(s)
}

// Settle records that this edge has had the cluster's state. It fails for an edge that has
// not joined.
func (l *Lattice) Settle() error {
	l.standing.Lock()
	defer l.standing.Unlock()
	s := l.Standing()
	if !s.Joined {
		return errors.New("this edge is not a member of its cluster any more")
	}
	s.Settled = true
	return l.writeStanding(s)
}

func (l *Lattice) writeStanding(s Standing) error {
	return writeMember(l.opts.Dir, &membership{l.opts.Cluster.Name, l.opts.Name, s.Joined, s.Settled, s.Removal})
}

// Forgotten notes that the cluster does not have this edge as a member any more. Its server
// is restarted without the copies that it has, and joins as a new one.
func (l *Lattice) Forgotten() { l.forgotten.Store(true) }

func writeMember(dir string, m *membership) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(dir, memberFile), append(data, '\n'))
}

// writeWhole writes a file whole or not at all.
func writeWhole(path string, data []byte) error {
	next, err := os.OpenFile(path+".next", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the operator's own data folder
	if err != nil {
		return err
	}
	_, err = next.Write(data)
	if err := errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	if err := os.Rename(next.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes renames in a folder survive a power cut.
func syncDir(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // the operator's own data folder
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Reset sets aside what a folder holds, so that its edge starts without state, and returns
// where it is now, empty if there was nothing. Nothing may use the folder.
func Reset(dir string) (to string, err error) {
	lock, err := dirlock.Take(dir)
	if err != nil {
		return "", err
	}
	to, err = setAside(dir, "aside-")
	return to, errors.Join(err, lock.Release())
}

func setAside(dir, prefix string) (to string, err error) {
	to = filepath.Join(dir, prefix+time.Now().UTC().Format(asideStamp))
	err = os.Rename(filepath.Join(dir, server.JetStreamStoreDir), to)
	records := filepath.Join(dir, ledgerDir) // of what the streams must hold
	switch {
	case errors.Is(err, fs.ErrNotExist):
		to, err = "", os.RemoveAll(records)
	case err == nil:
		if err = os.Rename(records, filepath.Join(to, ledgerDir)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		if err = os.Remove(filepath.Join(dir, memberFile)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return to, errors.Join(err, syncDir(dir))
}
