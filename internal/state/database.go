// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// What every database of the state says of itself, in its bucket "meta".
const (
	product = "reconbeat"
	format  = 1
)

var (
	metaBucket    = []byte("meta")    // product, format
	entriesBucket = []byte("entries") // by sequence number: what is not acknowledged
	idsBucket     = []byte("ids")     // by sequence number: the IDs by which a repeat is recognised
)

// errBroken says that the database itself is damaged: trying again does not help.
var errBroken = errors.New("damaged")

// database is a bbolt file whose damage is an error, never a panic.
type database struct {
	path    string
	durable bool // flushed at every commit
	db      atomic.Pointer[bolt.DB]
}

// open opens the file, or makes it when there is none. An error that wraps errBroken is about its contents.
func (d *database) open() error {
	if _, err := os.Lstat(d.path); errors.Is(err, fs.ErrNotExist) {
		return d.create()
	}
	if err := inspect(d.path); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("opening %s: %w", d.path, err)
		}
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	if err := os.Chmod(d.path, 0o600); err != nil {
		return fmt.Errorf("opening %s: %w", d.path, err)
	}
	if err := d.bolt(d.path); err != nil {
		return err
	}
	err := d.view(func(tx *bolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta == nil || string(meta.Get([]byte("product"))) != product {
			return fmt.Errorf("%w: not a database of %s", errBroken, product)
		}
		f, err := strconv.Atoi(string(meta.Get([]byte("format"))))
		if err != nil || f < 1 {
			return fmt.Errorf("%w: its format is not readable", errBroken)
		}
		if f > format {
			return fmt.Errorf("%w: format %d: %w", errBroken, f, errNewer)
		}
		for _, name := range [][]byte{entriesBucket, idsBucket} {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("%w: it has no bucket %q", errBroken, name)
			}
		}
		return nil
	})
	if err != nil {
		d.close()
	}
	return err
}

// create makes the file complete under another name first, so that a crash leaves none or a good one.
func (d *database) create() error {
	temp := filepath.Join(filepath.Dir(d.path), "."+filepath.Base(d.path)+tempMark+"new")
	if err := os.RemoveAll(temp); err != nil {
		return fmt.Errorf("making %s: %w", d.path, err)
	}
	if err := d.bolt(temp); err != nil {
		return fmt.Errorf("making %s: %w", d.path, err)
	}
	err := d.update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{metaBucket, entriesBucket, idsBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(metaBucket)
		return errors.Join(meta.Put([]byte("product"), []byte(product)), meta.Put([]byte("format"), strconv.AppendInt(nil, format, 10)))
	})
	if err == nil {
		err = d.db.Load().Sync()
	}
	if err == nil {
		err = os.Rename(temp, d.path) // bbolt goes on with the open file, whatever its name
	}
	if err == nil {
		err = syncDir(filepath.Dir(d.path))
	}
	if err != nil {
		d.close()
		os.Remove(temp)
		return fmt.Errorf("making %s: %w", d.path, err)
	}
	return nil
}

func (d *database) bolt(path string) error {
	return guard(func() error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{
			Timeout:      time.Second, // the directory is ours: nobody else should hold it
			NoSync:       !d.durable,
			NoGrowSync:   !d.durable,
			FreelistType: bolt.FreelistMapType,
		})
		if err != nil {
			return err
		}
		db.AllocSize = 1 << 20 // the file grows by MiBs, not by bbolt's 16 MiB
		d.db.Store(db)
		return nil
	})
}

func (d *database) close() error {
	db := d.db.Swap(nil)
	if db == nil {
		return nil
	}
	return guard(db.Close)
}

// abandon lets go of a database in which a transaction broke. It is not closed: bbolt may hold its locks for ever, so closing could too.
func (d *database) abandon() { d.db.Store(nil) }

var errNotOpen = errors.New("the database is not open")

func (d *database) update(fn func(*bolt.Tx) error) error {
	db := d.db.Load()
	if db == nil {
		return errNotOpen
	}
	return guard(func() error { return db.Update(fn) })
}

func (d *database) view(fn func(*bolt.Tx) error) error {
	db := d.db.Load()
	if db == nil {
		return errNotOpen
	}
	return guard(func() error { return db.View(fn) })
}

func (d *database) sync() error {
	db := d.db.Load()
	if db == nil {
		return errNotOpen
	}
	return guard(db.Sync)
}

// size returns the file's size in bytes, 0 when unknown.
func (d *database) size() int64 {
	fi, err := os.Stat(d.path)
	if err != nil {
		return 0
	}
	return fi.Size()
}

// guard turns a panic of bbolt, or a fault in its memory map (a file cut short under it), into an error that wraps errBroken.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errBroken, p)
		}
	}()
	return fn()
}
