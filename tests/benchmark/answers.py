# ruff: noqa: E501 (lines are as the tools print them)
"""A phone's answers, written by hand in the documented formats (see nelf/benchmark/benchmark_model.py)."""

HEADER = "\t             [node type]\t          [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]"
SUMMARY_HEADER = (
    "\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]"
)

CPU_RUN = f"""\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Num threads: [4]
INFO: Graph: [/data/local/tmp/nelf-bench/model.tflite]
INFO: Enable op profiling: [1]
INFO: Loaded model /data/local/tmp/nelf-bench/model.tflite
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: The input model file size (MB): 6.13774
INFO: Initialized session in 21.5ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=93 first=9120 curr=5250 min=5190 max=9120 avg=5310.5 std=401

INFO: Running benchmark for at least 100 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=188 first=5300 curr=5280 min=5170 max=1.0e+04 avg=5290.25 std=95 p5=5200 median=5275 p95=5450

INFO: Inference timings in us: Init: 21500, First inference: 9120, Warmup (avg): 5310.5, Inference (avg): 5290.25
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory footprint of the model at runtime. Take the information at your discretion.
INFO: Memory footprint delta from the start of the tool (MB): init=12.5 overall=24.25
INFO: Profiling Info for Benchmark Initialization:
============================== Summary by node type ==============================
{SUMMARY_HEADER}
\t ModifyGraphWithDelegate\t        1\t    18.000\t    90.000%\t    90.000%\t  9000.000\t        1
\t         AllocateTensors\t        1\t     2.000\t    10.000%\t   100.000%\t     0.000\t        2

Timings (microseconds): count=1 curr=20000
Memory (bytes): count=0
2 nodes observed


INFO: Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
{HEADER}
\tConvolution (NHWC, F32) IGEMM\t            0.019\t    2.086\t    4.000\t 80.000%\t 80.000%\t     0.000\t       16\tDelegate/Convolution (NHWC, F32) IGEMM:0

Number of nodes executed: 28
============================== Summary by node type ==============================
{SUMMARY_HEADER}
\tConvolution (NHWC, F32) IGEMM\t       16\t     4.000\t    80.000%\t    80.000%\t     0.000\t       16
\t              GELU (NC)\t       10\t     0.750\t    15.000%\t    95.000%\t     0.000\t       10
\t   Multiply (ND)\t        2\t     0.250\t     5.000%\t   100.000%\t     0.000\t        2

Timings (microseconds): count=188 first=5100 curr=5000 min=4950 max=5200 avg=5000 std=60
Memory (bytes): count=0
28 nodes observed
"""

GPU_RUN = """\
STARTING!
Use gpu: [1]
GPU delegate created.
ERROR: Following operations are not supported by GPU delegate:
BROADCAST_TO: Operation is not supported.
TRANSPOSE_CONV: Max version supported: 3. Requested version 4.
82 operations will run on the GPU, and the remaining 2 operations will run on the CPU.
Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 3 delegate kernels.
The input model file size (MB): 6.13774
Initialized session in 512.25ms.
count=210 first=9000 curr=2300 min=2200 max=9000 avg=2400 std=300

count=430 first=2300 curr=2310 min=2190 max=3100 avg=2325 std=40

Inference timings in us: Init: 512250, First inference: 9000, Warmup (avg): 2400, Inference (avg): 2325
Peak memory footprint (MB): init=80.5 overall=96
"""

CRASH = """\
STARTING!
Loaded model /data/local/tmp/nelf-bench/model.tflite
ERROR: Didn't find op for builtin opcode 'CONV_2D' version '8'. An older version of this builtin might be supported.
Failed to initialize the interpreter
"""

CONDITION = """\
temperature cpu-0-0-usr 41300
temperature skin-therm 36
temperature absent 0
temperature broken -273000
temperature battery_zone
khz cpu0 1804800
khz cpu7 2841600
hz gpu 587000000
tenth battery 315
"""

APP_FILE = {
    "protocol": 2,
    "token": "TOKEN",
    "plan": {"warm_up_seconds": 3.0, "seconds": 30.0, "minutes": None},
    "finished": True,
    "stopped": None,
    "device": {
        "type": "app",
        "manufacturer": "Example",
        "model": "Phone",
        "soc": "",
        "os": "Android 15",
        "app": "0.1.0",
    },
    "results": [
        {
            "bundle": "ball",
            "model_sha256": "",
            "backend": "gpu",
            "passed_over": [{"backend": "npu", "reason": "no NPU library for this SoC"}],
            "threads": 0,
            "load_milliseconds": 412.0,
            "first_frame_milliseconds": 442.1,
            "frames": 1800,
            "rate": 60.0,
            "latency": {"median": 7.1, "p90": 8.0, "p95": 8.4, "mean": 7.3},
            "sustained": [{"second": 0, "frames": 61, "median": 7.0}, {"second": 1, "frames": 59, "median": 7.2}],
            "conditions": [
                {
                    "second": 0.0,
                    "thermal_status": 1,
                    "headroom": None,
                    "battery_celsius": 31.5,
                    "battery_percent": 80.0,
                    "battery_milliamperes": 800.0,
                    "battery_volts": 4.0,
                    "charging": False,
                }
            ],
            "memory_mb": 182.4,
            "golden_psnr": None,
        }
    ],
    "visible": True,
    "later": "a key of another version",
}
"""What our Android app writes, and a key more."""
