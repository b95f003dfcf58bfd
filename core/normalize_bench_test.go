package core

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core/internal/values"
)

func sampleRequest() *Request {
	return &Request{
		Path: "/orders/42/refund", Host: "shop.example.com", IP: "203.0.113.9", Method: "POST", Peer: "10.0.0.7",
		Forwarded: "203.0.113.9, 10.1.2.3", ID: "0f2e4b7c9d",
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
	}
}

func sampleFields() Fields {
	return Fields{"order": "A-1042", "count": 42, "amount": 9.5, "partial": true}
}

// copied keeps the copies of a benchmark on the heap, where an event's fields are.
var copied Fields

// What normalising adds to the map that it has to make anyway.
func BenchmarkNormalize(b *testing.B) {
	r, fields := sampleRequest(), sampleFields()
	b.Run("map copy alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m := make(Fields, len(fields))
			for k, v := range fields {
				m[k] = v
			}
			copied = m
		}
	})
	b.Run("four fields", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e := Event{Tag: "refund", User: "alice", Request: r, Fields: fields}
			e.normalize(0, nil)
		}
	})
	b.Run("four fields, id and time given", func(b *testing.B) {
		id, now := uuid.New(), time.Now()
		b.ReportAllocs()
		for b.Loop() {
			e := Event{ID: id, Time: now, Tag: "refund", User: "alice", Request: r, Fields: fields}
			e.normalize(0, nil)
		}
	})
	b.Run("normalised before", func(b *testing.B) {
		done := Event{Tag: "refund", User: "alice", Request: r, Fields: fields}.Normalize(0)
		b.ReportAllocs()
		for b.Loop() {
			e := done
			e.normalize(0, nil)
		}
	})
}

func BenchmarkEventJSON(b *testing.B) {
	e := Event{Tag: "refund", User: "alice", Request: sampleRequest(), Fields: sampleFields()}.Normalize(0)
	b.Run("encoding/json", func(b *testing.B) {
		type plain Event // without MarshalJSON
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(plain(e)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("AppendEventJSON", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			buf = e.AppendJSON(buf[:0])
		}
	})
	b.Run("AppendJSON of the fields", func(b *testing.B) {
		var buf []byte
		fields := map[string]any(e.Fields)
		b.ReportAllocs()
		for b.Loop() {
			buf = values.Append(buf[:0], fields)
		}
	})
	b.Run("ParseEventJSON", func(b *testing.B) {
		data := e.AppendJSON(nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parseEvent(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkID(b *testing.B) {
	now := time.Now()
	b.Run("uuid.NewV7", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			uuid.Must(uuid.NewV7())
		}
	})
	b.Run("newID", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			newID(now)
		}
	})
}
