"""Audits with the Python library from several threads for a while.

driver.py DSN TAG THREADS SECONDS prints one line of JSON: events a second, and the median
and the 99th percentile of how long one audit took, in milliseconds.
"""
import json
import sys
import threading
import time

import auditing


def work(tag, end, took, errors):
    try:
        begin = time.perf_counter()
        while begin < end:
            auditing.audit(tag, username="alice", item=len(took), amount=9.5, what="a book", ok=True)
            now = time.perf_counter()
            took.append(now - begin)
            begin = now
    except Exception as e:
        errors.append(e)


def main(dsn, tag, threads, seconds):
    auditing.setup("postgres", dsn=dsn, minconn=threads, maxconn=threads)
    errors = []
    all_took = [[] for _ in range(threads)]
    start = time.perf_counter()
    workers = [threading.Thread(target=work, args=(tag, start + seconds, took, errors)) for took in all_took]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    elapsed = time.perf_counter() - start
    if errors:
        raise errors[0]
    took = sorted(t for each in all_took for t in each)
    at = lambda share: took[int(share * (len(took) - 1))] * 1e3
    print(json.dumps({"events/s": len(took) / elapsed, "p50 ms": at(0.5), "p99 ms": at(0.99)}))


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
