//! A thumbnailer: typed tasks, whose results are values.
//!
//! It draws some pictures, submits a task for each, and waits for what came of them. Here the worker is the same program; on a fleet there
//! would be many of them, and the pictures would lie where all of them can read.
//!
//! `cargo run --example thumbnailer`, against `bellwether dev`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwether_client::{Client, Task, WaitError};
use bellwether_examples::{Outcome, beside, connect_string};
use bellwether_worker::{TaskContext, TaskError, Worker};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

/// Makes a picture smaller.
#[derive(Debug, Serialize, Deserialize)]
struct Thumbnail {
    picture: PathBuf,
    width: usize,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    path: PathBuf,
    width: usize,
    height: usize,
}

impl Task for Thumbnail {
    const KIND: &'static str = "thumbnail";
    type Output = Made;
}

async fn thumbnail(ctx: TaskContext, task: Thumbnail) -> Result<Made, TaskError> {
    let bytes = match tokio::fs::read(&task.picture).await {
        // It will not be there the next time, either.
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(TaskError::fatal(error)),
        // Anything else may pass: `?` lets the task be tried again.
        read => read?,
    };
    let picture = Picture::decode(&bytes).map_err(TaskError::fatal)?;
    let small = picture.scaled_to(task.width);
    let path = task.picture.with_extension("small.ppm");
    tokio::fs::write(&path, small.encode()).await?;
    ctx.print(format!("{} is {}x{} now", path.display(), small.width, small.height));
    Ok(Made { path, width: small.width, height: small.height })
}

#[tokio::main]
async fn main() -> Outcome {
    let connect = connect_string()?;
    let worker = Worker::builder(&connect).name("thumbnailer").slots(2).handler(thumbnail);
    beside(worker, submit_and_wait(&connect)).await
}

async fn submit_and_wait(connect: &str) -> Outcome {
    let place = tempfile::tempdir()?;
    let mut pictures = Vec::new();
    for (name, width, height) in [("wide.ppm", 400, 100), ("tall.ppm", 90, 300), ("square.ppm", 256, 256)] {
        let path = place.path().join(name);
        tokio::fs::write(&path, Picture::draw(width, height).encode()).await?;
        pictures.push(path);
    }
    pictures.push(place.path().join("missing.ppm"));

    let client = Client::connect(connect).await?;
    // As many at once as the client's window allows, however long the list is.
    let tasks = stream::iter(&pictures).map(|picture| {
        let task = Thumbnail { picture: picture.clone(), width: 64 };
        client.task(task).retries(3).timeout(Duration::from_secs(60))
    });
    let handles: Vec<_> = client.submit_many(tasks).try_collect().await?;
    for (picture, handle) in pictures.iter().zip(&handles) {
        match handle.wait().await {
            Ok(made) => println!("{} -> {} {}x{}", name(picture), name(&made.path), made.width, made.height),
            Err(WaitError::Failed(result)) => println!("{} failed: {}", name(picture), result.reason.unwrap_or_default()),
            Err(error) => return Err(error.into()),
        }
    }
    client.close().await;
    Ok(())
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// A picture in the simplest format that there is: PPM, a line of text and then three bytes for each point.
struct Picture {
    width: usize,
    height: usize,
    points: Vec<[u8; 3]>,
}

impl Picture {
    fn draw(width: usize, height: usize) -> Self {
        let shade = |n: usize, of: usize| u8::try_from(n * 255 / of).unwrap_or(u8::MAX);
        let points = (0..width * height).map(|n| [shade(n % width, width), shade(n / width, height), 128]).collect();
        Self { width, height, points }
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut head = bytes.splitn(5, |byte| byte.is_ascii_whitespace());
        let mut word = || head.next().map(String::from_utf8_lossy).unwrap_or_default();
        if word() != "P6" {
            return Err("it is no PPM picture".to_owned());
        }
        let number = |word: &str| word.parse::<usize>().map_err(|error| format!("{word:?} is no number of points: {error}"));
        let (width, height) = (number(&word())?, number(&word())?);
        let _brightest = word();
        let points: Vec<[u8; 3]> = head.next().unwrap_or_default().as_chunks().0.to_vec();
        match width > 0 && height > 0 && points.len() == width * height {
            true => Ok(Self { width, height, points }),
            false => Err(format!("it should have {width}x{height} points, and has {}", points.len())),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let head = format!("P6 {} {} 255\n", self.width, self.height);
        [head.as_bytes(), self.points.as_flattened()].concat()
    }

    /// Each point is the mean of those that it stands for.
    fn scaled_to(&self, width: usize) -> Self {
        let width = width.clamp(1, self.width);
        let height = (self.height * width / self.width).max(1);
        let mean = |x: usize, y: usize| {
            let columns = x * self.width / width..((x + 1) * self.width / width).max(x * self.width / width + 1);
            let rows = y * self.height / height..((y + 1) * self.height / height).max(y * self.height / height + 1);
            let all: Vec<[u8; 3]> =
                rows.flat_map(|row| columns.clone().map(move |column| self.points[row * self.width + column])).collect();
            [0, 1, 2].map(|color| {
                let sum: usize = all.iter().map(|point| usize::from(point[color])).sum();
                u8::try_from(sum / all.len()).unwrap_or(u8::MAX)
            })
        };
        let points = (0..width * height).map(|n| mean(n % width, n / width)).collect();
        Self { width, height, points }
    }
}
