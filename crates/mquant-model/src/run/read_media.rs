//! Pictures, videos and sounds of a message, opened and turned into the rows that a tower reads.

use super::LoadedModel;
use crate::error::Result;
use crate::input::image::{self, RgbImage};
use crate::input::messages::{FrameRate, MediaSource, Video};
use crate::input::vision_processor::Patches;
use crate::input::{audio, video};

pub(super) fn read_image(loaded: &LoadedModel, source: &MediaSource) -> Result<Patches> {
    let image: RgbImage = match source {
        MediaSource::Path(path) => image::open(path, &loaded.image_limits)?,
        MediaSource::Bytes(bytes) => image::decode(bytes, &loaded.image_limits)?,
    };
    Ok(loaded.processor.image(&image)?)
}

pub(super) fn read_video(loaded: &LoadedModel, video: &Video) -> Result<Patches> {
    let frames = match &video.source {
        MediaSource::Path(path) => video::open(path, &loaded.video_limits)?,
        MediaSource::Bytes(bytes) => video::decode(bytes, &loaded.video_limits)?,
    };
    let fps = video.fps.map_or_else(|| loaded.layout.frames_per_second(), FrameRate::per_second);
    Ok(loaded.processor.video(&frames, fps)?)
}

pub(super) fn read_audio(loaded: &LoadedModel, source: &MediaSource) -> Result<Patches> {
    let sound = match source {
        MediaSource::Path(path) => audio::open(path, &loaded.audio_limits)?,
        MediaSource::Bytes(bytes) => audio::decode(bytes, &loaded.audio_limits)?,
    };
    Ok(loaded.processor.audio(&sound)?)
}
