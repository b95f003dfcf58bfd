package esstore_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// streamIndex returns a new name on a server that has data streams.
func streamIndex(t *testing.T, url string) string {
	t.Helper()
	index := estest.Index(t, url)
	status, answer := estest.Do(t, http.MethodPost, url+"/_index_template/_simulate", `{"index_patterns":["`+index+`"],"data_stream":{}}`)
	if status != http.StatusOK && strings.Contains(answer, "unknown field [data_stream]") {
		t.Skip("this build of the server has no data streams")
	}
	return index
}

func TestDataStream(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := streamIndex(t, url)
		s := openOn(t, url, index+"?data_stream=true", esstore.Config{})
		events := sample(5)
		for range 2 {
			if err := s.Save(t.Context(), events); err != nil {
				t.Fatal(err)
			}
		}
		succeed(t, http.MethodPost, url+"/"+index+"/_rollover", "")
		events = append(events, sample(2)...)
		if err := s.Save(t.Context(), events[5:]); err != nil {
			t.Fatal(err)
		}
		wantAll(t, s, events)
		if _, body := estest.Do(t, http.MethodGet, url+"/"+index+"/_settings/index.uuid", ""); strings.Count(body, `".ds-`) != 2 {
			t.Errorf("behind %s is %s; want the two indices of a data stream", index, body)
		}
		if _, err := esstore.Open(t.Context(), url+"/"+index, esstore.Config{}); err != nil {
			t.Errorf("a program that does not know of the data stream: %v", err)
		}
	})
}

// TestDataStreamOfAnother: a stream that somebody else has made is taken only by who asks for one.
func TestDataStreamOfAnother(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := streamIndex(t, url)
		succeed(t, http.MethodPut, url+"/_index_template/"+index+"-theirs", `{"index_patterns":["`+index+`"],"priority":100,"data_stream":{}}`)
		succeed(t, http.MethodPost, url+"/"+index+"/_create/1", `{"@timestamp":"2026-11-23T10:00:00Z"}`)
		if _, err := esstore.Open(t.Context(), url+"/"+index, esstore.Config{}); err == nil || !strings.Contains(err.Error(), "data_stream=true") {
			t.Errorf("Open: %v; want an error that says data_stream=true", err)
		}
		s := openOn(t, url, index+"?data_stream=true", esstore.Config{Logger: slog.New(slog.DiscardHandler)})
		if err := s.Save(t.Context(), sample(1)); err != nil {
			t.Fatal(err)
		}
	})
}
