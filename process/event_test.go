// SPDX-License-Identifier: Apache-2.0

package process

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sample() *Event {
	e := &Event{}
	e.Reset()
	e.Kind, e.Time, e.Source = Exec, time.Unix(1700000000, 5), "auditd"
	e.PID, e.PPID = 42, 41
	e.Name, e.Executable = e.Text([]byte("ss")), e.Text([]byte("/usr/bin/ss"))
	e.CWD, e.TTY = e.Text([]byte("/tmp")), e.Text([]byte("pts0"))
	e.File, e.Deleted = FileID{Device: 0xfe00, Inode: 247777}, true
	e.AddArg(&e.Process, []byte("ss"))
	e.AddArg(&e.Parent, []byte("bash"))
	e.AddArg(&e.Process, []byte("-tlnp"))
	e.AddArg(&e.Parent, []byte("-l"))
	e.Session = Session{
		ID:     3,
		User:   User{ID: 1000, Name: "alice"},
		Entry:  EntrySSHD,
		Source: netip.MustParseAddr("10.0.0.9"),
	}
	e.Account = Account{
		User: User{ID: 7, Name: e.Text([]byte("ann"))}, Action: AccountJoined, Group: e.Text([]byte("sudo")),
	}
	return e
}

func TestInterleavedArgumentsOfTwoProcessesStayApart(t *testing.T) {
	e := sample()
	require.Equal(t, []string{"ss", "-tlnp"}, e.Args)
	require.Equal(t, []string{"bash", "-l"}, e.Parent.Args)
}

func TestACopySharesNothingWithItsSource(t *testing.T) {
	src, dst := sample(), &Event{}
	want := sample()
	dst.Copy(src)
	src.Reset()
	src.Text([]byte("overwritten overwritten overwritten overwritten"))
	require.Equal(t, want.Args, dst.Args)
	require.Equal(t, want.Parent.Args, dst.Parent.Args)
	require.Equal(t, want.Executable, dst.Executable)
	require.Equal(t, want.File, dst.File)
	require.True(t, dst.Deleted)
	require.Equal(t, want.Session, dst.Session)
	require.Equal(t, want.Source, dst.Source)
	require.Equal(t, want.Account, dst.Account)
}

// TestACopyOwnsEachOfItsTexts: of an event with a single text, wherever it stands.
func TestACopyOwnsEachOfItsTexts(t *testing.T) {
	texts := 0
	for i := 0; ; i++ {
		src, dst := &Event{}, &Event{}
		places := textsIn(reflect.ValueOf(src).Elem(), "")
		if i == len(places) {
			break
		}
		text := src.Text([]byte("a text"))
		places[i].set(text)
		dst.Copy(src)
		src.Reset()
		src.Text([]byte("gone by"))
		require.Equal(t, "a text", textsIn(reflect.ValueOf(dst).Elem(), "")[i].value(), places[i].name)
		texts++
	}
	require.Greater(t, texts, 70)
}

// textPlace is where an event has a text.
type textPlace struct {
	name  string
	set   func(string)
	value func() string
}

// textsIn are the places of texts in a struct, in order.
func textsIn(v reflect.Value, name string) (places []textPlace) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				places = append(places, textsIn(v.Field(i), name+"."+f.Name)...)
			}
		}
	case reflect.String:
		places = append(places, textPlace{name, v.SetString, v.String})
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.String {
			places = append(places, textPlace{
				name,
				func(s string) { v.Set(reflect.ValueOf([]string{s})) },
				func() string { return v.Index(0).String() },
			})
		}
	}
	return places
}

func TestCopyingIntoAUsedEventAllocatesNothing(t *testing.T) {
	src, dst := sample(), &Event{}
	dst.Copy(src)
	require.Zero(t, testing.AllocsPerRun(100, func() { dst.Copy(src) }))
}

func TestAResetEventKnowsNobodyAndNotRoot(t *testing.T) {
	var e Event
	e.Reset()
	require.False(t, e.User.Known())
	require.False(t, e.Session.User.Known())
	require.False(t, e.Process.Known())
	require.Zero(t, e.File)
	require.False(t, e.Deleted)
	require.True(t, e.Success)
}
