package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile writes a file next to its place, syncs it, and puts it there with place:
// os.Rename replaces what is there, os.Link does not.
func WriteFile(dir, name string, data []byte, mode fs.FileMode, place func(from, to string) error) (err error) {
	f, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.Remove(f.Name()); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return place(f.Name(), filepath.Join(dir, name))
}
