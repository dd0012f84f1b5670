import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.CRC32;
import org.apache.lucene.document.Document;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.NumericDocValues;
import org.apache.lucene.index.SegmentCommitInfo;
import org.apache.lucene.index.SegmentReader;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.NIOFSDirectory;
import org.apache.lucene.util.Bits;
import org.apache.lucene.util.BytesRef;

/** What Lucene itself reads back from an index, in the notation of the fixtures' lists. */
final class Expectation {
    private static final Pattern FORMAT = Pattern.compile("Lucene\\d+StoredFields(Fast|High)Data");

    private Expectation() {}

    static void write(Path index, Path list) throws Exception {
        List<String> lines = new ArrayList<>();
        try (Directory directory = new NIOFSDirectory(index);
                DirectoryReader reader = DirectoryReader.open(directory)) {
            for (LeafReaderContext context : reader.leaves()) describe(lines, index, (SegmentReader) context.reader());
        }
        Files.write(list, lines);
    }

    private static void describe(List<String> lines, Path index, SegmentReader segment) throws Exception {
        SegmentCommitInfo info = segment.getSegmentInfo();
        int softDeletedCount = EngineAPI.softDeletedCount(info);
        String name = info.info.name;
        lines.add(String.join("\t", "segment", name, "" + segment.maxDoc(), "" + info.getDelCount(),
                "" + softDeletedCount, format(index, name)));
        boolean[] isSoft = new boolean[segment.maxDoc()];
        NumericDocValues soft = segment.getNumericDocValues(Documents.SOFT_DELETES);
        if (soft != null) {
            while (soft.nextDoc() != NumericDocValues.NO_MORE_DOCS) isSoft[soft.docID()] = true;
        }
        Bits live = segment.getLiveDocs();
        int hard = 0;
        int softly = 0;
        for (int document = 0; document < segment.maxDoc(); document++) {
            boolean isHard = live != null && !live.get(document);
            if (isHard) hard++;
            if (!isHard && isSoft[document]) softly++;
            if (!isHard && !isSoft[document]) lines.add(describe(segment, name, document));
        }
        if (hard != info.getDelCount() || softly != softDeletedCount) {
            throw new IllegalStateException(name + ": " + hard + " hard and " + softly + " soft deletes");
        }
    }

    private static String describe(LeafReader segment, String name, int number) throws Exception {
        Document document = EngineAPI.stored(segment, number);
        BytesRef id = document.getBinaryValue("_id");
        if (id == null) return "nested\t" + name + "\t" + number;
        String routing = document.get("_routing");
        BytesRef source = document.getBinaryValue("_source");
        String content = "-\t-";
        if (source != null) {
            CRC32 checksum = new CRC32();
            checksum.update(source.bytes, source.offset, source.length);
            content = source.length + "\t" + checksum.getValue();
        }
        return String.join("\t", "document", name, "" + number, hexadecimal(Documents.decode(id)),
                routing == null ? "-" : hexadecimal(routing.getBytes(StandardCharsets.UTF_8)), content);
    }

    /** The codec name in the header of the stored fields, wherever they lie. */
    private static String format(Path index, String segment) throws Exception {
        Path file = index.resolve(segment + ".fdt");
        if (!Files.exists(file)) file = index.resolve(segment + ".cfs");
        Matcher matcher = FORMAT.matcher(new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1));
        if (!matcher.find()) throw new IllegalStateException(file + " has no stored fields");
        return matcher.group();
    }

    private static String hexadecimal(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte value : bytes) text.append(String.format("%02x", value));
        return text.toString();
    }
}
