package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// recordsOf makes records with payloads of these lengths.
func recordsOf(first uint64, lengths ...int) []record {
	records := make([]record, len(lengths))
	for i, n := range lengths {
		records[i] = newRecord(eventsOf(1)[0], start)
		records[i].seq = first + uint64(i)
		records[i].payload = bytes.Repeat([]byte{byte('a' + i%26)}, n)
	}
	return records
}

func makeJournal(t testing.TB, size int64) *journal {
	t.Helper()
	dir := t.TempDir()
	if err := createJournal(dir, size); err != nil {
		t.Fatal(err)
	}
	j, records, err := openJournal(dir)
	if err != nil || len(records) > 0 {
		t.Fatal(records, err)
	}
	t.Cleanup(func() { j.file.Close() })
	return j
}

func image(t testing.TB, j *journal) []byte {
	t.Helper()
	b, err := os.ReadFile(j.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// same compares records by what is stored of them.
func same(got, want []record) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].seq != want[i].seq || !bytes.Equal(got[i].value(), want[i].value()) {
			return fmt.Errorf("record %d is number %d %.60q, want number %d %.60q", i, got[i].seq, got[i].payload, want[i].seq, want[i].payload)
		}
	}
	return nil
}

// sectorFull is the payload with which a record fills a sector.
const sectorFull = sectorData - inGroup - headSize

func TestJournalRoundTrip(t *testing.T) {
	for _, group := range [][]int{
		{0}, {1}, {100, 100}, {sectorFull - 1}, {sectorFull}, {sectorFull + 1}, {sectorFull, sectorFull}, {sectorFull, 0, 5000, 1},
		{2*sectorData - inGroup - headSize}, {2*sectorData - inGroup - headSize, 10}, {3*sectorData - inGroup - headSize, 0, 10}, {sectorFull - 4, 10}, {sectorFull - 50, 10, 10}, slices.Repeat([]int{3}, 40),
	} {
		j := makeJournal(t, 64<<10)
		for round := range 3 {
			var want []record
			for range 2 {
				add := recordsOf(uint64(7+len(want)), group...)
				if !j.fits(add) {
					t.Fatalf("%v do not fit", group)
				}
				if err := j.append(add); err != nil {
					t.Fatal(err)
				}
				want = append(want, add...)
			}
			var again journal
			got, err := again.read(image(t, j))
			if err == nil {
				err = same(got, want)
			}
			if err != nil || again.end != j.end || again.uncertain || again.epoch != j.epoch {
				t.Errorf("%v, round %d: %v; it ends at %d (%t), want %d", group, round, err, again.end, again.uncertain, j.end)
			}
			if err := j.rewind(); err != nil {
				t.Fatal(err)
			}
			if got, err := again.read(image(t, j)); err != nil || len(got) > 0 || again.end != 1 {
				t.Errorf("%v: after a rewind: %v, %v", group, got, err)
			}
		}
	}
}

// TestJournalEveryLength: wherever in a sector a record ends and the next begins,
// both are found, also by Salvage.
func TestJournalEveryLength(t *testing.T) {
	j := makeJournal(t, 8<<10)
	// What an earlier epoch left behind is not meant.
	if err := errors.Join(j.append(recordsOf(1e6, slices.Repeat([]int{600}, 8)...)), j.rewind()); err != nil {
		t.Fatal(err)
	}
	for n := range 2*sectorData + 10 {
		want := recordsOf(1, n, 3, 600)
		if err := j.append(want); err != nil {
			t.Fatal(err)
		}
		got, err := new(journal).read(image(t, j))
		if err == nil {
			err = same(got, want)
		}
		f := newFinder()
		if err := f.journal(j.file.Name()); err != nil || len(f.whole) != 3 || len(f.broken) > 0 {
			t.Errorf("after a record of %d bytes Salvage finds %d records, %d broken ones (%v)", n, len(f.whole), len(f.broken), err)
		}
		if err != nil {
			t.Errorf("after a record of %d bytes: %v", n, err)
		}
		if err := j.rewind(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJournalTorn: whatever part of the last group had reached the disk when the
// power went, what was acknowledged before is there, and of that group nothing or all.
func TestJournalTorn(t *testing.T) {
	j := makeJournal(t, 16<<10)
	for range 3 { // so that there are earlier epochs below
		for j.fits(recordsOf(1, 900)) {
			if err := j.append(recordsOf(1, 900)); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.rewind(); err != nil {
			t.Fatal(err)
		}
	}
	acknowledged := recordsOf(50, 100, 700, 30)
	for i := range acknowledged {
		if err := j.append(acknowledged[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	before, from := image(t, j), int(j.end)
	last := recordsOf(53, 300, 700, 1700, 5)
	if err := j.append(last); err != nil {
		t.Fatal(err)
	}
	after, sectors := image(t, j), int(j.end)-from
	if sectors != 6 {
		t.Fatalf("the last group has %d sectors", sectors)
	}
	for there := range 1 << sectors {
		torn := slices.Clone(before)
		for i := range sectors {
			if at := (from + i) * sectorSize; there&(1<<i) != 0 {
				copy(torn[at:at+sectorSize], after[at:])
			}
		}
		want := acknowledged
		if there == 1<<sectors-1 {
			want = slices.Concat(acknowledged, last)
		}
		var read journal
		got, err := read.read(torn)
		if err == nil {
			err = same(got, want)
		}
		if err != nil {
			t.Errorf("with the sectors %06b of the last group: %v", there, err)
		}
		if partly := there != 0 && there != 1<<sectors-1; read.uncertain != partly {
			t.Errorf("with the sectors %06b of the last group it is uncertain: %t", there, read.uncertain)
		}
	}
}

// TestJournalDamage: no flipped bit, no lost sector and no cut goes unnoticed.
func TestJournalDamage(t *testing.T) {
	j := makeJournal(t, 8<<10)
	for i, n := range []int{10, 900, 200} {
		if err := j.append(recordsOf(uint64(i), n)); err != nil {
			t.Fatal(err)
		}
	}
	image := image(t, j)
	tried := 0
	step := 7
	if *long > 0 {
		step = 1
	}
	for bit := 0; bit < 8*len(image); bit += step {
		tried++
		image[bit/8] ^= 1 << (bit % 8)
		if got, err := new(journal).read(image); err == nil {
			t.Fatalf("bit %d of byte %d flipped: %d records and no error", bit%8, bit/8, len(got))
		}
		image[bit/8] ^= 1 << (bit % 8)
	}
	for n := range len(image) {
		tried++
		if got, err := new(journal).read(image[:n]); err == nil {
			t.Fatalf("cut to %d bytes: %d records and no error", n, len(got))
		}
	}
	for sector := range int(j.end) - 1 { // all but the last, of which nobody can know
		lost := slices.Clone(image)
		clear(lost[sector*sectorSize:][:sectorSize])
		if got, err := new(journal).read(lost); err == nil {
			t.Errorf("sector %d lost: %d records and no error", sector, len(got))
		}
	}
	old := slices.Clone(image)
	if err := errors.Join(j.rewind(), j.append(recordsOf(3, 10))); err != nil {
		t.Fatal(err)
	}
	rewound, err := os.ReadFile(j.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	copy(rewound, old[:sectorSize])
	if got, err := new(journal).read(rewound); err == nil {
		t.Errorf("the first sector of an earlier epoch: %d records and no error", len(got))
	}
	moved := slices.Clone(image)
	copy(moved[2*sectorSize:3*sectorSize], image[3*sectorSize:])
	if _, err := new(journal).read(moved); err == nil || !strings.Contains(err.Error(), "sector 2") {
		t.Errorf("a sector in another's place: %v", err)
	}
	t.Logf("%d times damaged, always noticed", tried)
}

// FuzzJournal reads any file as a journal: it is refused, or what was read is what
// would be written.
func FuzzJournal(f *testing.F) {
	j := makeJournal(f, 3<<10)
	f.Add([]byte{}, uint16(0), byte(0))
	f.Add(image(f, j), uint16(700), byte(1))
	for i, n := range []int{10, 500} {
		if err := j.append(recordsOf(uint64(i), n)); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(image(f, j), uint16(0), byte(0))
	f.Add(image(f, j), uint16(600), byte(4))
	f.Fuzz(func(t *testing.T, image []byte, at uint16, flip byte) {
		image = slices.Clone(image)
		if int(at) < len(image) {
			image[at] ^= flip
		}
		// With sums that match, so that it gets past them.
		for i := 0; i+sectorSize <= len(image) && flip&1 != 0; i += sectorSize {
			binary.BigEndian.PutUint32(image[i:], checksum(nil, image[i+4:i+sectorSize]))
		}
		var j journal
		records, err := j.read(image)
		if err != nil {
			return
		}
		if j.end > j.size || int64(j.size)*sectorSize != int64(len(image)) {
			t.Errorf("it ends at %d of %d sectors", j.end, j.size)
		}
		for i := range records {
			v := records[i].value()
			data := binary.BigEndian.AppendUint32(keyOf(records[i].seq), uint32(len(v)))
			if again, n, err := parseInGroup(append(data, v...)); err != nil || n == 0 || same([]record{again}, records[i:i+1]) != nil {
				t.Errorf("record %d: %v, %v", i, again, err)
			}
		}
	})
}
