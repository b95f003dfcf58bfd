package core

import "errors"

// Outcome is the result of what was audited. The zero value is unstated.
type Outcome string

// The outcomes that the options [Succeeded], [Denied], [Failed] and [Result] state.
const (
	OutcomeUnstated Outcome = ""
	OutcomeSuccess  Outcome = "success"
	OutcomeDenied   Outcome = "denied"
	OutcomeFailure  Outcome = "failure"
)

// Succeeded says that what was audited was done.
func Succeeded() Option { return Option{says: theOutcome, value: OutcomeSuccess} }

// Denied says that it was refused: a wrong password, a missing right. reason is kept in
// [Event.Reason] and may be "".
func Denied(reason string) Option {
	return Option{says: theOutcome, value: OutcomeDenied, text: reason}
}

// Failed says that it was tried and broke, as when a database is away; what was refused is
// [Denied]. reason is kept in [Event.Reason] and may be "".
func Failed(reason string) Option {
	return Option{says: theOutcome, value: OutcomeFailure, text: reason}
}

// Result is [Succeeded] for a nil err, else [Failed] with the error's text.
func Result(err error) Option { return Option{says: theResult, value: err} }

func (o *auditOptions) setResult(value any) {
	err, _ := value.(error)
	if err == nil {
		o.setOutcome(OutcomeSuccess, "")
		return
	}
	defer recovered("core.Result: the error's method Error", &o.err)
	o.setOutcome(OutcomeFailure, err.Error())
}

var errTwoOutcomes = errors.New("an event has one outcome: give the audit one of core.Succeeded, Denied, Failed and Result")

func (o *auditOptions) setOutcome(outcome Outcome, reason string) {
	if o.outcome != OutcomeUnstated {
		o.fail(errTwoOutcomes)
		return
	}
	o.outcome, o.reason = outcome, reason
}
