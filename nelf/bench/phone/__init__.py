"""Measuring on an Android phone over adb, by Google's benchmark_model or by our app. Untested on hardware."""

from nelf.bench.phone.adb import Adb, connect
from nelf.bench.phone.app import AppBenchmark, run_app
from nelf.bench.phone.benchmark import PhoneOptions, PhoneReport, bench_on_phone
from nelf.bench.phone.table import UNTESTED, app_table, phone_tables

__all__ = [
    "UNTESTED",
    "Adb",
    "AppBenchmark",
    "PhoneOptions",
    "PhoneReport",
    "app_table",
    "bench_on_phone",
    "connect",
    "phone_tables",
    "run_app",
]
