"""The public models of conversions.py, and the pictures that they are judged on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from conversions_data import ALL, CONTRACTS, Task, write

RUNTIME = "ai-edge-litert 2.3.0"  # whose answers golden.json holds
V1 = "mobilenet-v1-025-imagenet"
V2 = "mobilenet-v2-imagenet-uint8"
NONE = "0.5"  # points, the default: no answer of 199 or fewer may change, and one of 200
CALIBRATION = ("cats_and_dogs.jpg", "multi_objects.jpg")  # no golden.json judges INT8 on them
AGAIN = ("tflite:float16", "tflite:int8", "onnx:float32", "onnx:float16", "onnx:int8")
CROSS = ("onnx:float32",)


def real(data: Path, work: Path) -> list[Task]:
    """Each with its contract of examples/contracts; labels are the recorded answers."""
    frames = _frames(data, work / "frames")
    return [*_classifiers(data, work, frames), *_others(data, work, frames)]


def _classifiers(data: Path, work: Path, frames: Path) -> list[Task]:
    v1, vww = "mobilenet_v1_0.25_224_{}.tflite", "vww_96_{}.tflite"
    cifar, calibration = data / "images/cifar10", work / "cifar-calibration"
    command = _command(data, work / "command.npz")
    rows = [
        ("VWW 96", "vww96", vww.format("float"), "vww96", AGAIN, None),
        ("VWW 96, INT8", "vww96", vww.format("int8"), "vww96", CROSS, None),
        ("ResNet8", "resnet8-cifar10", "resnet8_float.tflite", "resnet8", AGAIN, cifar),
        ("ResNet8, INT8", "resnet8-cifar10", "resnet8_int8.tflite", "resnet8", CROSS, cifar),
        ("MobileNet v1 0.25", V1, v1.format("float"), "mobilenet-v1-float", AGAIN, None),
        ("MobileNet v1 0.25, UINT8", V1, v1.format("uint8"), "mobilenet-v1-uint8", CROSS, None),
        ("MobileNet v2", V2, "mobilenet_v2_1.0_224_quant.tflite", "mobilenet-v2", CROSS, None),
        ("Keyword DS-CNN", "kws-dscnn", "kws_float.tflite", "kws-dscnn", CROSS, command),
        ("Keyword DS-CNN, INT8", "kws-dscnn", "kws_int8.tflite", "kws-dscnn", CROSS, command),
    ]
    return [
        Task(
            "real",
            title,
            str(data / "models" / folder / file),
            CONTRACTS / f"{contract}.toml",
            targets,
            golden or _golden(data, work, folder, file),
            calibration if golden == cifar else frames,
            max_drop=NONE,
        )
        for title, folder, file, contract, targets, golden in rows
    ]


def _others(data: Path, work: Path, frames: Path) -> list[Task]:
    lines = _lines(work / "lines", range(24)), _lines(work / "more-lines", range(100, 140))
    pages = _pages(work / "pages", range(24)), _pages(work / "more-pages", range(100, 140))
    sound = _sound(work / "sound.npz", 1), _sound(work / "more-sound.npz", 2)
    photographs = _photographs(data, work / "photographs")
    person = work / "person"
    write((photographs / "squat.bmp").read_bytes(), person / "squat.bmp")
    np.savez(work / "steps.npz", **{"0": np.zeros((8, 3, 40), np.float32)})
    ocr = "ppocr-v4-det/ch_"
    onnx = ("onnx:float16", "onnx:dynamic", "onnx:int8", "tflite:float32")
    rows = [
        ("PP-OCR direction", f"{ocr}ppocr_mobile_v2.0_cls_infer.onnx", "ppocr-cls",
         (*onnx, "tflite:int8"), *lines, NONE),
        ("PP-OCRv4 text map", f"{ocr}PP-OCRv4_det_infer.onnx", "ppocr-det", onnx,
         *pages, ALL),
        ("Silero VAD", "silero-vad/silero_vad_16k_op15.onnx", "silero-vad", onnx, *sound, ALL),
        ("Faces, short range", "face-detection-short-range/face_detection_short_range.tflite",
         "face-short-range", AGAIN, photographs, frames, NONE),
        ("SSD MobileNet v1, UINT8", "ssd-mobilenet-v1-coco/ssd_mobilenet_v1_coco_uint8.tflite",
         "ssd-mobilenet-v1", CROSS, photographs, frames, ALL),
        ("MoveNet, UINT8", "movenet-lightning/movenet_single_pose_lightning_ptq.tflite",
         "movenet-lightning", CROSS, person, frames, NONE),
        ("Okay Nabu, INT8", "wakeword-okay-nabu/okay_nabu.tflite", "okay-nabu", CROSS,
         work / "steps.npz", frames, NONE),
    ]  # fmt: skip
    return [
        Task("real", title, str(data / "models" / file), CONTRACTS / f"{contract}.toml",
             targets, evaluate, calibrate, max_drop=most)
        for title, file, contract, targets, evaluate, calibrate, most in rows
    ]  # fmt: skip


def _golden(data: Path, work: Path, folder: str, file: str) -> Path:
    """The photographs of golden.json, in folders named after what the file itself says of them."""
    found = json.loads((data / "models" / folder / "golden.json").read_text("utf-8"))
    known = found["results"][RUNTIME]
    made = work / "golden" / file
    for name, answers in known.get(file, known).items():
        for place in (data / "images" / name, data / "images/coco" / name):
            if place.exists():
                write(place.read_bytes(), made / answers[0]["label"] / name)
    return made


def _photographs(data: Path, made: Path) -> Path:
    for place in (*(data / "images").glob("*.*"), *(data / "images/coco").glob("*.jpg")):
        if place.suffix in (".bmp", ".jpg") and place.name not in CALIBRATION:
            write(place.read_bytes(), made / place.name)
    return made


def _frames(data: Path, made: Path) -> Path:
    """To calibrate with: 34 frames of two videos, and pictures that nothing is judged on."""
    for path in sorted((made.parent / "cifar-calibration").glob("*/000[0-5].jpg")):
        write(path.read_bytes(), made / f"{path.parent.name}-{path.name}")
    for name in CALIBRATION:
        write((data / "images" / name).read_bytes(), made / name)
    for video in sorted((data / "video").glob("*.mp4")):
        opened = cv2.VideoCapture(str(video))
        count = int(opened.get(cv2.CAP_PROP_FRAME_COUNT))
        for at in range(0, count - 1, count // 16):
            opened.set(cv2.CAP_PROP_POS_FRAMES, at)
            there, picture = opened.read()
            if there:
                cv2.imwrite(str(made / f"{video.stem}-{at:05}.jpg"), picture)
    return made


def _lines(made: Path, numbers: range) -> Path:
    """Lines of text, upright in the folder 0 and upside down in the folder 180."""
    for number in numbers:
        line = np.full((48, 192, 3), 250, np.uint8)
        colour, place = (30, number * 9 % 200, 20), (8, 34)
        text = f"Text {number * 37 % 100}"
        cv2.putText(line, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.9, colour, 2)
        turned = line[::-1, ::-1] if number % 2 else line
        encoded = cv2.imencode(".png", turned)[1].tobytes()
        write(encoded, made / ("180" if number % 2 else "0") / f"{number}.png")
    return made


def _pages(made: Path, numbers: range) -> Path:
    """Pictures of three lines of text each, some words large and some small."""
    for number in numbers:
        page = np.full((192, 320, 3), 200 + number % 50, np.uint8)
        for line, size in enumerate(np.roll([0.7, 1.0, 1.3], number)):
            text, place = f"{number * 37 % 100} edge {line}", (10 + number % 40, 45 + 60 * line)
            cv2.putText(page, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (30, 60, 20), 2)
        write(cv2.imencode(".png", page)[1].tobytes(), made / f"{number}.png")
    return made


def _command(data: Path, path: Path) -> Path:
    """The one recorded keyword, in real values, with its label "on"."""
    raw = np.load(data / "models/kws-dscnn/golden_input_int8.npy").reshape(1, 49, 10, 1)
    scale, zero = 0.5847029089927673, 83  # of kws_int8.tflite's input
    np.savez(path, **{"0": (raw.astype(np.float32) - zero) * scale}, labels=np.array([5]))
    return path


def _sound(path: Path, seed: int) -> Path:
    """Windows of noise and of tones with harmonics, for there is no speech among the data."""
    random, time_s = np.random.default_rng(seed), np.arange(576) / 16000
    tones = [
        sum(np.sin(2 * np.pi * step * pitch * time_s) / step for step in range(1, 12))
        for pitch in random.uniform(90, 250, 40)
    ]
    loud = random.uniform(0.01, 0.2, (40, 1))
    windows = np.concatenate([loud * tones, loud * random.standard_normal((40, 576)) / 2])
    np.savez(path, input=np.clip(windows, -1, 1).astype(np.float32))
    return path
