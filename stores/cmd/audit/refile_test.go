package main

import (
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

func TestRefile(t *testing.T) {
	owner, role, exec := withRole(t)
	owner.audit("other", nil) // which makes the overflow table
	exec("GRANT INSERT, SELECT ON ALL TABLES IN SCHEMA public TO ROLE")
	store, err := stores.Open(t.Context(), "postgres", role.dsn)
	if err != nil {
		t.Fatal(err)
	}
	if role.rec, err = core.New(store, core.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t.Context(), store) })
	role.refunds(3) // for which there is no table
	if out, _ := role.run(1, "check"); !strings.Contains(out, `the tag "refund" that belong into table refund: 3 of its newest`) {
		t.Errorf("check says %s", out)
	}
	if out, _ := role.run(0, "refile"); out != "0 moved\n" {
		t.Errorf("with no table to move to it says %s", out)
	}
	if out, _ := owner.run(0, "refile"); out != "3 moved\n" {
		t.Errorf("it says %s", out)
	}
	if out, _ := owner.run(0, "refile"); out != "0 moved\n" {
		t.Errorf("once more it says %s", out)
	}
	if out, _ := owner.run(0, "search", "-tag", "refund"); strings.Count(out, "\n") != 3 {
		t.Errorf("then there is %s", out)
	}
}
