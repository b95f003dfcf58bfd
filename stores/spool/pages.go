package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// What follows reads the format of bbolt's file without mapping it and without
// trusting it: bbolt itself follows what a page says wherever it points, and a
// mapped file that was cut is a SIGBUS that no Go program survives.
//
// A page has a header (id 8 bytes, flags 2, count 2, overflow 4), then count
// elements of 16 bytes. An element of a leaf is flags, pos, key size and value size
// of 4 bytes each, one of a branch is pos and key size of 4 bytes and a page id of
// 8; pos counts from the element itself. Integers are in the machine's own order.
const (
	pageSize    = 4096
	headerSize  = 16
	elementSize = 16

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	bucketElement = 0x01

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaSize    = 56 // without its checksum

	// maxDepth is far above what a tree of any size needs.
	maxDepth = 32
)

var native = binary.NativeEndian

// meta is one of the two pages that say where everything is.
type meta struct {
	root, freelist, pages, txid uint64
}

func parseMeta(page []byte) (meta, error) {
	b := page[headerSize:]
	switch h := fnv.New64a(); {
	case native.Uint32(b) != metaMagic:
		return meta{}, errors.New("it does not begin as one of bbolt does")
	case native.Uint32(b[4:]) != metaVersion:
		return meta{}, fmt.Errorf("its version is %d, not %d", native.Uint32(b[4:]), metaVersion)
	default:
		h.Write(b[:metaSize])
		if native.Uint64(b[metaSize:]) != h.Sum64() {
			return meta{}, errChecksum
		}
	}
	if size := native.Uint32(b[8:]); size != pageSize {
		return meta{}, fmt.Errorf("its pages have %d bytes, not %d", size, pageSize)
	}
	return meta{
		root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]), pages: native.Uint64(b[40:]), txid: native.Uint64(b[48:]),
	}, nil
}

// pager reads pages of a file.
type pager struct {
	file  io.ReaderAt
	pages uint64 // how many are in use at most
	// claim is told which pages a tree consists of, and may refuse; nil while reading only.
	claim func(id, n uint64) error
}

// errPage wraps what is wrong with one page.
func errPage(id uint64, err error) error { return fmt.Errorf("page %d: %w", id, err) }

// read returns the page with those that continue it.
func (p *pager) read(id uint64) ([]byte, error) {
	if id < 2 || id >= p.pages {
		return nil, errPage(id, fmt.Errorf("there are only %d pages", p.pages))
	}
	page := make([]byte, pageSize)
	if _, err := p.file.ReadAt(page, int64(id)*pageSize); err != nil {
		return nil, errPage(id, err)
	}
	if got := native.Uint64(page); got != id {
		return nil, errPage(id, fmt.Errorf("it says that it is page %d", got))
	}
	more := uint64(native.Uint32(page[12:]))
	if more >= p.pages-id {
		return nil, errPage(id, fmt.Errorf("it continues on %d pages, which are not there", more))
	}
	if p.claim != nil {
		if err := p.claim(id, more+1); err != nil {
			return nil, errPage(id, err)
		}
	}
	if more > 0 {
		page = append(page, make([]byte, more*pageSize)...)
		if _, err := p.file.ReadAt(page[pageSize:], int64(id+1)*pageSize); err != nil {
			return nil, errPage(id, err)
		}
	}
	return page, nil
}

func pageFlags(page []byte) uint16 { return native.Uint16(page[8:]) }
func pageCount(page []byte) int    { return int(native.Uint16(page[10:])) }

// cut returns n bytes of the page from at, which must lie behind its elements.
func cut(page []byte, at, n uint64) ([]byte, bool) {
	if at < uint64(headerSize+elementSize*pageCount(page)) || at > uint64(len(page)) || n > uint64(len(page))-at {
		return nil, false
	}
	return page[at : at+n : at+n], true
}

var errElement = errors.New("an element points out of it")

// leafElement returns the ith element of a leaf whose count was checked.
func leafElement(page []byte, i int) (flags uint32, key, value []byte, err error) {
	at := headerSize + elementSize*i
	e := page[at:]
	keySize, valueSize := uint64(native.Uint32(e[8:])), uint64(native.Uint32(e[12:]))
	b, ok := cut(page, uint64(at)+uint64(native.Uint32(e[4:])), keySize+valueSize)
	if !ok || keySize == 0 {
		return 0, nil, nil, errElement
	}
	return native.Uint32(e), b[:keySize], b[keySize:], nil
}

func branchElement(page []byte, i int) (key []byte, child uint64, err error) {
	at := headerSize + elementSize*i
	e := page[at:]
	key, ok := cut(page, uint64(at)+uint64(native.Uint32(e)), uint64(native.Uint32(e[4:])))
	if !ok {
		return nil, 0, errElement
	}
	return key, native.Uint64(e[8:]), nil
}

// visit is called with the elements of a tree in the order of their keys.
type visit func(flags uint32, key, value []byte) error

// errStop ends a walk early.
var errStop = errors.New("stop")

// walk visits the elements of the tree at root that are not before from.
func (p *pager) walk(root uint64, from []byte, f visit) error {
	w := walker{pager: p, from: from, visit: f}
	return w.page(root, nil, nil, 0)
}

type walker struct {
	*pager
	from  []byte
	visit visit
}

// page walks a tree whose keys are all at least low and below high; nil is no bound.
func (w *walker) page(id uint64, low, high []byte, depth int) error {
	if depth > maxDepth {
		return errPage(id, errors.New("the tree is too deep"))
	}
	page, err := w.read(id)
	if err != nil {
		return err
	}
	if headerSize+elementSize*pageCount(page) > len(page) {
		return errPage(id, errors.New("it has more elements than room"))
	}
	switch pageFlags(page) {
	case leafPage:
		if err = w.leaf(page, low, high); err != nil && !errors.Is(err, errStop) {
			err = errPage(id, err)
		}
		return err
	case branchPage:
		return w.branch(id, page, low, high, depth)
	}
	return errPage(id, fmt.Errorf("it is neither leaf nor branch (flags %#x)", pageFlags(page)))
}

var errOrder = errors.New("its keys are not in order")

func (w *walker) branch(id uint64, page []byte, low, high []byte, depth int) error {
	n := pageCount(page)
	if n == 0 {
		return errPage(id, errors.New("it is a branch without elements"))
	}
	key, child, err := branchElement(page, 0)
	for i := range n {
		var end []byte
		var next uint64
		if err == nil && i+1 < n {
			if end, next, err = branchElement(page, i+1); err == nil && bytes.Compare(key, end) >= 0 {
				err = errOrder
			}
		} else {
			end = high
		}
		if err == nil && (i > 0 || low != nil) && bytes.Compare(key, low) < 0 || err == nil && high != nil && bytes.Compare(key, high) >= 0 {
			err = errOrder
		}
		if err != nil {
			return errPage(id, err)
		}
		if w.from == nil || end == nil || bytes.Compare(end, w.from) > 0 {
			if err := w.page(child, key, end, depth+1); err != nil {
				return err
			}
		}
		key, child = end, next
	}
	return nil
}

// leaf visits the elements of a leaf page or of a bucket that is stored in its parent.
func (w *walker) leaf(page []byte, low, high []byte) error {
	before, strict := low, false
	for i := range pageCount(page) {
		flags, key, value, err := leafElement(page, i)
		if err != nil {
			return err
		}
		if c := bytes.Compare(key, before); before != nil && (c < 0 || strict && c == 0) || high != nil && bytes.Compare(key, high) >= 0 {
			return errOrder
		}
		before, strict = key, true
		if w.from != nil && bytes.Compare(key, w.from) < 0 {
			continue
		}
		if err := w.visit(flags, key, value); err != nil {
			return err
		}
	}
	return nil
}

// bucket visits what is in a bucket, given the value of its element: the page of
// its root, a sequence number, and, where the page is 0, the only leaf itself.
func (p *pager) bucket(value, from []byte, f visit) error {
	if len(value) < 16 {
		return errors.New("a bucket is too short")
	}
	if root := native.Uint64(value); root != 0 {
		return p.walk(root, from, f)
	}
	page := value[16:]
	if len(page) < headerSize || headerSize+elementSize*pageCount(page) > len(page) || pageFlags(page) != leafPage {
		return errors.New("a bucket within its parent is no leaf")
	}
	w := walker{pager: p, from: from, visit: f}
	return w.leaf(page, nil, nil)
}
